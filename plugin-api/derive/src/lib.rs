//! The macros of `audit-plugin-api`: `#[derive(SinkOptions)]`, `#[derive(OptionType)]` and `export_sinks!`.

mod attributes;
mod export;
mod option_type;
mod sink_options;

use proc_macro::TokenStream;

/// Makes a struct the options of a sink; see the trait `SinkOptions`.
#[proc_macro_derive(SinkOptions, attributes(option))]
pub fn derive_sink_options(input: TokenStream) -> TokenStream {
    expand(syn::parse(input).and_then(|input| sink_options::derive(&input)))
}

/// Makes an enum of plain variants a choice of words; see the trait `OptionType`.
#[proc_macro_derive(OptionType, attributes(option))]
pub fn derive_option_type(input: TokenStream) -> TokenStream {
    expand(syn::parse(input).and_then(|input| option_type::derive(&input)))
}

/// Exports the sink classes of a plugin, once in a crate:
///
/// ```text
/// export_sinks! {
///     "print.PrintAuditLogger" => Print { durable: false, batch_size: 100, flush_interval: 0.2, max_in_flight: 8 },
/// }
/// ```
///
/// The class path has two or more segments. `durable` says whether a `flush` that said yes survives a power loss; the
/// others are the class's own defaults, where it needs some. `extension = path,` in front of the classes names a
/// function `fn(&str, u32) -> Option<RawExtension>`, which is the module's extension door.
///
/// The crate is built as a `cdylib`, which then exports one symbol and carries its manifest. Where it is built as an
/// `rlib` too, several of them can be linked into one binary.
#[proc_macro]
pub fn export_sinks(input: TokenStream) -> TokenStream {
    expand(syn::parse(input).and_then(|input| export::expand(&input)))
}

fn expand(tokens: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    tokens.unwrap_or_else(|error| error.into_compile_error()).into()
}
