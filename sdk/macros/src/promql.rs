//! Owns `promql!`: finds the placeholders of a template and refuses, while compiling, those that could not be safe.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Ident, LitStr, Result, Token};

struct Input {
    template: LitStr,
    values: Punctuated<Value, Token![,]>,
}

struct Value {
    name: Ident,
    expr: Expr,
}

impl Parse for Input {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let template = input.parse()?;
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
        Ok(Self { template, values: Punctuated::parse_terminated(input)? })
    }
}

impl Parse for Value {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse()?;
        input.parse::<Token![=]>()?;
        Ok(Self { name, expr: input.parse()? })
    }
}

enum Piece {
    Literal(String),
    Placeholder { name: String, after_match: bool },
}

pub fn expand(input: TokenStream) -> Result<TokenStream> {
    let input: Input = syn::parse2(input)?;
    let span = input.template.span();
    let template = input.template.value();
    let pieces = split(&template).map_err(|message| Error::new(span, message))?;

    let mut used = Vec::new();
    let mut writes = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Literal(text) => writes.push(quote!(expression.push_str(#text);)),
            Piece::Placeholder { name, after_match } => {
                let given = input.values.iter().find(|value| value.name == name).map(|value| &value.expr);
                let value = match given {
                    Some(expr) => quote!(#expr),
                    None => {
                        let ident = syn::parse_str::<Ident>(&name).map_err(|_| {
                            Error::new(span, format!("`${name}` is no name; give it as `{name} = …`"))
                        })?;
                        let ident = Ident::new(&ident.to_string(), Span::call_site().located_at(span));
                        quote!(#ident)
                    }
                };
                let write = if after_match { quote!(write_regex) } else { quote!(write) };
                writes.push(quote!(::medic_sdk::promql::PromValue::#write(&(#value), &mut expression);));
                used.push(name);
            }
        }
    }
    if let Some(value) = input.values.iter().find(|value| !used.contains(&value.name.to_string())) {
        let name = &value.name;
        return Err(Error::new_spanned(
            name,
            format!("`${name}` does not occur in the template outside quotes"),
        ));
    }
    Ok(quote!({
        let mut expression = ::std::string::String::new();
        #(#writes)*
        expression
    }))
}

/// Cuts the template at its placeholders. A `$` inside a quoted literal is a character like any other (regular
/// expressions end in one), but a whole `"$name"` is surely a mistake.
fn split(template: &str) -> std::result::Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut quote: Option<char> = None;
    let mut characters = template.chars().peekable();
    while let Some(character) = characters.next() {
        match quote {
            Some(open) => {
                literal.push(character);
                if character == '\\' && open != '`' {
                    literal.extend(characters.next());
                } else if character == open {
                    quote = None;
                } else if character == '$' && literal.ends_with(&format!("{open}$")) {
                    let rest: String = characters.clone().take_while(|next| *next != open).collect();
                    if !rest.is_empty() && rest.chars().all(|next| next.is_alphanumeric() || next == '_') {
                        return Err(format!("`{open}${rest}{open}` is quoted twice: write ${rest}"));
                    }
                }
            }
            None if matches!(character, '"' | '\'' | '`') => {
                literal.push(character);
                quote = Some(character);
            }
            None if character == '$' => {
                let mut name = String::new();
                while let Some(next) = characters.next_if(|next| next.is_alphanumeric() || *next == '_') {
                    name.push(next);
                }
                if name.is_empty() {
                    return Err("a `$` outside quotes begins a placeholder, and needs a name".to_owned());
                }
                let before = literal.trim_end();
                let after_match = before.ends_with("=~") || before.ends_with("!~");
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Placeholder { name, after_match });
            }
            None => literal.push(character),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}
