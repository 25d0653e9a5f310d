//! `#[derive(SinkOptions)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields};

use crate::attributes::{OptionAttribute, help, json_of, json_string};

pub fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            "options are a struct; for a choice of words derive `OptionType`",
        ));
    };
    let fields = match &data.fields {
        Fields::Named(fields) => fields.named.iter().collect(),
        Fields::Unit => Vec::new(),
        Fields::Unnamed(fields) => return Err(Error::new_spanned(fields, "options have names")),
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "options have no generics"));
    }

    let (mut names, mut specs, mut reads): (Vec<String>, Vec<_>, Vec<_>) = Default::default();
    for field in fields {
        let ident = field.ident.as_ref();
        let attribute = OptionAttribute::read(&field.attrs)?;
        let name = match &attribute.name {
            Some(name) => name.value(),
            None => ident.map(ToString::to_string).unwrap_or_default().trim_start_matches("r#").to_owned(),
        };
        if names.contains(&name) {
            return Err(Error::new_spanned(field, format!("the option `{name}` is there twice")));
        }
        let (ty, values) = (&field.ty, &attribute.values);
        let json = attribute.default.as_ref().and_then(json_of);
        let comma = if names.is_empty() { "" } else { "," };
        let start = format!("{comma}{{\"name\":{},\"types\":", json_string(&name));
        let end = format!(
            ",\"default\":{},\"help\":{}}}",
            json.as_deref().unwrap_or("null"),
            json_string(&help(&field.attrs))
        );
        let required = match &attribute.default {
            Some(_) => quote!(false),
            None => quote!(<#ty as ::audit_plugin_api::OptionType>::REQUIRED),
        };
        let allowed = match values.as_slice() {
            [] => quote!(<#ty as ::audit_plugin_api::OptionType>::VALUES),
            values => quote!(&[#(#values),*]),
        };
        specs.push(quote! {
            Part::Json(#start),
            Part::List(<#ty as ::audit_plugin_api::OptionType>::TYPES),
            Part::Json(",\"required\":"),
            Part::Flag(#required),
            Part::Json(",\"values\":"),
            Part::List(#allowed),
            Part::Json(#end),
        });
        let read = match (&attribute.default, json) {
            (None, _) => quote!(table.take(#name, &[#(#values),*])?),
            (Some(_), Some(json)) => quote!(table.take_or_json(#name, &[#(#values),*], #json)?),
            (Some(default), None) => quote!(table.take_or(#name, &[#(#values),*], || #default)?),
        };
        reads.push(quote!(#ident: #read));
        names.push(name);
    }

    let ident = &input.ident;
    Ok(quote! {
        impl ::audit_plugin_api::SinkOptions for #ident {
            const SPECS: &'static str = {
                use ::audit_plugin_api::__private::{Part, bytes, length, text};
                const PARTS: &[Part] = &[Part::Json("["), #(#specs)* Part::Json("]")];
                const BYTES: [u8; length(PARTS)] = bytes(PARTS);
                text(&BYTES)
            };

            #[allow(unused_mut, unused_variables)]
            fn from_json(
                options: ::audit_plugin_api::serde_json::Value,
            ) -> ::core::result::Result<Self, ::audit_plugin_api::OptionsError> {
                let mut table = ::audit_plugin_api::__private::OptionTable::new(options, &[#(#names),*])?;
                ::core::result::Result::Ok(Self { #(#reads),* })
            }
        }

        impl ::audit_plugin_api::OptionType for #ident {
            const TYPES: &'static [&'static str] = &["table"];

            fn from_value(
                value: ::audit_plugin_api::serde_json::Value,
            ) -> ::core::result::Result<Self, ::audit_plugin_api::OptionsError> {
                <Self as ::audit_plugin_api::SinkOptions>::from_json(value)
            }
        }
    })
}
