//! `#[option(…)]` and doc comments.

use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Token, parenthesized};

/// `#[option(…)]` of a field or a variant.
#[derive(Default)]
pub struct OptionAttribute {
    pub name: Option<LitStr>,
    pub default: Option<Expr>,
    pub values: Vec<LitStr>,
}

impl OptionAttribute {
    pub fn read(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut read = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("option")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    read.name = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("default") {
                    read.default = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("values") {
                    let list;
                    parenthesized!(list in meta.input);
                    read.values =
                        Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?.into_iter().collect();
                } else {
                    return Err(meta.error("expected `name = \"…\"`, `default = …` or `values(\"…\", …)`"));
                }
                Ok(())
            })?;
        }
        Ok(read)
    }
}

/// The first paragraph of the doc comment, on one line.
pub fn help(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.skip_while(String::is_empty).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The JSON of what an operator could have written; `None` for any other expression.
pub fn json_of(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Lit(ExprLit { lit, .. }) => match lit {
            Lit::Str(text) => Some(json_string(&text.value())),
            Lit::Int(number) if number.suffix().is_empty() => Some(number.base10_digits().to_owned()),
            Lit::Float(number) if number.suffix().is_empty() => {
                let digits = number.base10_digits();
                Some(if digits.ends_with('.') { format!("{digits}0") } else { digits.to_owned() })
            }
            Lit::Bool(flag) => Some(flag.value.to_string()),
            _ => None,
        },
        Expr::Unary(unary) if matches!(unary.op, syn::UnOp::Neg(_)) => {
            json_of(&unary.expr).map(|number| format!("-{number}"))
        }
        Expr::Array(array) => {
            let items: Option<Vec<String>> = array.elems.iter().map(json_of).collect();
            items.map(|items| format!("[{}]", items.join(",")))
        }
        _ => None,
    }
}

/// A JSON string.
pub fn json_string(text: &str) -> String {
    let mut json = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '\0'..='\u{1f}' => json.push_str(&format!("\\u{:04x}", c as u32)),
            _ => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_could_write_is_json_and_the_rest_is_not() {
        let json = |text: &str| json_of(&syn::parse_str::<Expr>(text).expect("it is Rust"));
        assert_eq!(json(r#""say \"x\"\n""#).as_deref(), Some(r#""say \"x\"\u000a""#));
        assert_eq!(json("-1_000").as_deref(), Some("-1000"));
        assert_eq!(json("1.").as_deref(), Some("1.0"));
        assert_eq!(json("[true, [1]]").as_deref(), Some("[true,[1]]"));
        assert_eq!(json("0xff").as_deref(), Some("255"));
        for expression in ["Vec::new()", "1u8", "'x'", "[A]", "!true", "None"] {
            assert_eq!(json(expression), None, "{expression}");
        }
    }
}
