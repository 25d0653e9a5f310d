//! `export_sinks!`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitBool, LitFloat, LitInt, LitStr, Path, Token, Type, braced};

use crate::attributes::json_string;

/// What stands in `export_sinks! { … }`.
pub struct Export {
    extension: Option<Path>,
    classes: Vec<Class>,
}

struct Class {
    path: LitStr,
    sink: Type,
    /// The JSON of its entry in the manifest, without its options.
    json: String,
}

impl Parse for Export {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut extension = None;
        if input.peek(Ident) {
            let key: Ident = input.parse()?;
            if key != "extension" {
                return Err(Error::new(key.span(), "expected `\"module.Class\" => Type { durable: … }`"));
            }
            input.parse::<Token![=]>()?;
            extension = Some(input.parse()?);
            input.parse::<Token![,]>()?;
        }
        let classes: Vec<Class> =
            Punctuated::<Class, Token![,]>::parse_terminated(input)?.into_iter().collect();
        if classes.is_empty() {
            return Err(Error::new(Span::call_site(), "a plugin has at least one class"));
        }
        for (index, class) in classes.iter().enumerate() {
            if classes[..index].iter().any(|other| other.path.value() == class.path.value()) {
                return Err(Error::new(class.path.span(), "this class is there twice"));
            }
        }
        Ok(Self { extension, classes })
    }
}

impl Parse for Class {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let path: LitStr = input.parse()?;
        let text = path.value();
        let is_word =
            |segment: &str| !segment.is_empty() && segment.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !text.contains('.') || !text.split('.').all(is_word) {
            return Err(Error::new(
                path.span(),
                "a class path is `module.Class`: two or more words with dots between",
            ));
        }
        input.parse::<Token![=>]>()?;
        let sink: Type = input.parse()?;
        let body;
        braced!(body in input);
        let mut json = format!("{{\"class\":{}", json_string(&text));
        let mut seen: Vec<String> = Vec::new();
        while !body.is_empty() {
            let key: Ident = body.parse()?;
            if seen.iter().any(|other| key == other) {
                return Err(Error::new(key.span(), "this is there twice"));
            }
            body.parse::<Token![:]>()?;
            let value = match key.to_string().as_str() {
                "durable" => body.parse::<LitBool>()?.value.to_string(),
                "batch_size" | "max_in_flight" => match body.parse::<LitInt>()?.base10_parse::<u32>()? {
                    0 => return Err(Error::new(key.span(), "this is at least 1")),
                    number => number.to_string(),
                },
                "flush_interval" if body.peek(LitInt) => {
                    body.parse::<LitInt>()?.base10_parse::<u32>()?.to_string()
                }
                "flush_interval" => body.parse::<LitFloat>()?.base10_parse::<f64>()?.to_string(),
                _ => {
                    let known = "expected `durable`, `batch_size`, `flush_interval` or `max_in_flight`";
                    return Err(Error::new(key.span(), known));
                }
            };
            json.push_str(&format!(",\"{key}\":{value}"));
            seen.push(key.to_string());
            if body.is_empty() {
                break;
            }
            body.parse::<Token![,]>()?;
        }
        if !seen.iter().any(|key| key == "durable") {
            let missing = "`durable: true` or `durable: false` is missing: does a flush that said yes survive a power loss?";
            return Err(Error::new(path.span(), missing));
        }
        json.push_str(",\"options\":");
        Ok(Self { path, sink, json })
    }
}

pub fn expand(export: &Export) -> syn::Result<TokenStream> {
    let crate_name = from_cargo("CARGO_PKG_NAME")?;
    let symbol = format!("audit_sinks_of_{}", crate_name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    let paths = export.classes.iter().map(|class| &class.path);
    let sinks: Vec<&Type> = export.classes.iter().map(|class| &class.sink).collect();
    let extension = match &export.extension {
        Some(path) => quote!(#path(id, version)),
        None => quote!(::core::option::Option::None),
    };

    let head = format!(
        ",\"crate\":{},\"version\":{},\"rustc\":",
        json_string(&crate_name),
        json_string(&from_cargo("CARGO_PKG_VERSION")?)
    );
    let classes = export.classes.iter().enumerate().map(|(index, class)| {
        let json = format!("{}{}", if index == 0 { "" } else { "," }, class.json);
        let sink = &class.sink;
        quote!(Part::Json(#json), Part::Json(specs::<#sink>()), Part::Json("}"),)
    });

    Ok(quote! {
        const _: () = {
            #[cfg(panic = "abort")]
            ::core::compile_error!(
                "a sink needs `panic = \"unwind\"`: with `panic = \"abort\"` its panics would end the host; remove the setting \
                 from the profile"
            );

            struct Sinks;

            impl ::audit_plugin_api::__private::Plugin for Sinks {
                const CLASSES: &'static [::audit_plugin_api::__private::RawClass] =
                    &[#(::audit_plugin_api::__private::class::<#sinks>(#paths)),*];

                fn extension(
                    id: &::core::primitive::str,
                    version: ::core::primitive::u32,
                ) -> ::core::option::Option<::audit_plugin_api::RawExtension> {
                    #[allow(unused_variables)]
                    let (id, version) = (id, version);
                    #extension
                }
            }

            #[unsafe(export_name = #symbol)]
            pub static ENTRY: ::audit_plugin_api::__private::Entry = ::audit_plugin_api::__private::entry::<Sinks>();

            use ::audit_plugin_api::__private::{Part, RUSTC, TARGET, section, section_length, specs};
            const MANIFEST_PARTS: &[Part] = &[
                Part::Json("{\"api\":"),
                Part::Text(::audit_plugin_api::API_VERSION),
                Part::Json(#head),
                Part::Text(RUSTC),
                Part::Json(",\"target\":"),
                Part::Text(TARGET),
                Part::Json(",\"panic\":\"unwind\",\"classes\":["),
                #(#classes)*
                Part::Json("]}"),
            ];
            #[used]
            #[unsafe(link_section = ".audit_manifest")]
            static MANIFEST: [u8; section_length(MANIFEST_PARTS)] = section(MANIFEST_PARTS);
        };
    })
}

fn from_cargo(name: &str) -> syn::Result<String> {
    std::env::var(name).map_err(|_| {
        Error::new(Span::call_site(), format!("{name} is not set: a plugin is built with cargo"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        syn::parse_str::<Export>(text).err().expect("it is refused").to_string()
    }

    #[test]
    fn classes_bring_their_entry_of_the_manifest() {
        let text = r#"
            extension = door,
            "a.b.C" => C { durable: true, batch_size: 7, flush_interval: 0.25, max_in_flight: 2 },
            "a.D" => d::D<u8> { durable: false, flush_interval: 3, },
        "#;
        let export: Export = syn::parse_str(text).expect("it is right");
        assert!(export.extension.is_some());
        let json: Vec<&str> = export.classes.iter().map(|class| class.json.as_str()).collect();
        let first = r#"{"class":"a.b.C","durable":true,"batch_size":7,"flush_interval":0.25,"max_in_flight":2,"options":"#;
        assert_eq!(json, [first, r#"{"class":"a.D","durable":false,"flush_interval":3,"options":"#]);
    }

    #[test]
    fn what_makes_no_sense_does_not_compile() {
        assert!(refused("").contains("at least one class"));
        assert!(refused(r#""C" => C { durable: true }"#).contains("two or more words"));
        assert!(refused(r#""a..C" => C { durable: true }"#).contains("two or more words"));
        assert!(refused(r#""a.C" => C {}"#).contains("survive a power loss"));
        assert!(refused(r#""a.C" => C { durable: true, batch: 1 }"#).contains("expected `durable`"));
        assert!(refused(r#""a.C" => C { durable: true, batch_size: 0 }"#).contains("at least 1"));
        assert!(refused(r#""a.C" => C { durable: true, durable: true }"#).contains("twice"));
        assert!(refused(r#""a.C" => C { durable: true }, "a.C" => D { durable: true }"#).contains("twice"));
    }
}
