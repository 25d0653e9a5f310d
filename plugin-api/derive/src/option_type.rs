//! `#[derive(OptionType)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields};

use crate::attributes::OptionAttribute;

pub fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            "a choice of words is an enum; for a table derive `SinkOptions`",
        ));
    };
    let (mut words, mut variants) = (Vec::new(), Vec::new());
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(variant, "a choice of words has plain variants"));
        }
        let attribute = OptionAttribute::read(&variant.attrs)?;
        words
            .push(attribute.name.map_or_else(|| snake_case(&variant.ident.to_string()), |name| name.value()));
        variants.push(&variant.ident);
    }
    let ident = &input.ident;
    Ok(quote! {
        impl ::audit_plugin_api::OptionType for #ident {
            const TYPES: &'static [&'static str] = &["string"];
            const VALUES: &'static [&'static str] = &[#(#words),*];

            fn from_value(
                value: ::audit_plugin_api::serde_json::Value,
            ) -> ::core::result::Result<Self, ::audit_plugin_api::OptionsError> {
                ::audit_plugin_api::__private::choose(value, |word| match word {
                    #(#words => ::core::option::Option::Some(Self::#variants),)*
                    _ => ::core::option::Option::None,
                })
            }
        }
    })
}

fn snake_case(name: &str) -> String {
    let mut word = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(c.to_lowercase());
    }
    word
}
