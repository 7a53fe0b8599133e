//! Owns `#[derive(ToolArgs)]`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Data, DataEnum, DeriveInput, Error, Expr, ExprLit, ExprUnary, Field, Fields, Ident, Lit, Result, UnOp,
};

use crate::docs;

/// As in `medic_sdk::args`; a struct with more is refused while it compiles.
const PROPERTIES_MAX: usize = 12;

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "arguments of a tool cannot be generic: their schema is fixed",
        ));
    }
    match &input.data {
        Data::Struct(data) => structure(&input.ident, &data.fields),
        Data::Enum(data) => choice(&input.ident, data),
        Data::Union(_) => Err(Error::new_spanned(&input.ident, "a union has no JSON form; use a struct")),
    }
}

/// Implements `ArgType` and `ToolArgs` for a struct.
pub fn structure(name: &Ident, fields: &Fields) -> Result<TokenStream> {
    let empty = syn::punctuated::Punctuated::new();
    let fields = match fields {
        Fields::Named(fields) => &fields.named,
        Fields::Unit => &empty,
        Fields::Unnamed(fields) => {
            return Err(Error::new_spanned(fields, "arguments have names: use a struct with named fields"));
        }
    };
    if fields.len() > PROPERTIES_MAX {
        return Err(Error::new_spanned(
            name,
            format!(
                "{} arguments; at most {PROPERTIES_MAX}: beyond that, make it several tools",
                fields.len()
            ),
        ));
    }
    let mut known = Vec::new();
    let (mut depths, mut properties, mut reads, mut defaults) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for field in fields {
        let Some(ident) = &field.ident else { continue };
        let (key, ty) = (ident.unraw().to_string(), &field.ty);
        let description = docs::text(&field.attrs);
        if description.is_empty() {
            return Err(Error::new_spanned(
                field,
                format!("`{key}` needs a doc comment (`/// …`): it becomes the description the model reads"),
            ));
        }
        let rules = rules(field)?;
        depths.push(quote!(<#ty as ::medic_sdk::args::ArgType>::DEPTH));
        properties.push(quote! {
            ::medic_sdk::args::Property {
                name: #key,
                description: #description,
                schema: <#ty as ::medic_sdk::args::ArgType>::schema(),
                optional: <#ty as ::medic_sdk::args::ArgType>::OPTIONAL,
                rules: #rules,
            }
        });
        reads.push(quote!(#ident: fields.read::<#ty>(#key, #rules)?));
        defaults.push(quote!(flaws.extend(::medic_sdk::args::fields::default_flaw::<#ty>(#key, #rules));));
        known.push(key);
    }
    let construct = quote!(Self { #(#reads),* });
    let unused = known.is_empty().then(|| quote!(let _ = &fields;));
    Ok(quote! {
        const _: () = ::core::assert!(
            <#name as ::medic_sdk::args::ArgType>::DEPTH <= ::medic_sdk::args::DEPTH_MAX,
            "arguments are nested deeper than three objects: flatten them"
        );
        impl ::medic_sdk::args::ArgType for #name {
            const DEPTH: usize = 1 + ::medic_sdk::args::max_depth(&[#(#depths),*]);

            fn schema() -> ::medic_sdk::Value {
                ::medic_sdk::args::object_schema(::std::vec![#(#properties),*])
            }

            fn parse(value: &::medic_sdk::Value, at: &str) -> ::core::result::Result<Self, ::medic_sdk::args::ArgError> {
                let fields = ::medic_sdk::args::Fields::open(value, at, &[#(#known),*])?;
                #unused
                ::core::result::Result::Ok(#construct)
            }
        }
        impl ::medic_sdk::args::ToolArgs for #name {
            fn default_flaws() -> ::std::vec::Vec<::medic_sdk::args::ArgError> {
                #[allow(unused_mut)]
                let mut flaws = ::std::vec::Vec::new();
                #(#defaults)*
                flaws
            }
        }
    })
}

/// Implements `ArgType` for an enum of unit variants: a string enum.
fn choice(name: &Ident, data: &DataEnum) -> Result<TokenStream> {
    if data.variants.is_empty() {
        return Err(Error::new_spanned(name, "an enum without variants has no value"));
    }
    let (mut names, mut variants) = (Vec::new(), Vec::new());
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(
                variant,
                "a variant with data would need `oneOf`, which models' function calling refuses: \
                 use a plain variant, and optional fields beside it",
            ));
        }
        names.push(docs::snake_case(&variant.ident.unraw().to_string()));
        variants.push(&variant.ident);
    }
    Ok(quote! {
        impl #name {
            /// The name in JSON.
            pub fn as_str(&self) -> &'static str {
                match self { #(Self::#variants => #names),* }
            }
        }
        impl ::medic_sdk::args::ArgType for #name {
            const DEPTH: usize = 0;

            fn schema() -> ::medic_sdk::Value {
                ::medic_sdk::json!({ "type": "string", "enum": [#(#names),*] })
            }

            fn parse(value: &::medic_sdk::Value, at: &str) -> ::core::result::Result<Self, ::medic_sdk::args::ArgError> {
                let found = ::medic_sdk::args::parse_choice(value, at, &[#(#names),*])?;
                #(if found == #names { return ::core::result::Result::Ok(Self::#variants); })*
                ::core::result::Result::Err(::medic_sdk::args::ArgError {
                    pointer: at.to_owned(),
                    message: ::std::string::String::from("unknown choice"),
                })
            }
        }
    })
}

/// Reads `#[arg(…)]` into a constant `Rules`.
fn rules(field: &Field) -> Result<TokenStream> {
    let mut set = Vec::new();
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("arg")) {
        attribute.parse_nested_meta(|meta| {
            let key = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            let value: Expr = meta.value()?.parse()?;
            set.push(match key.as_str() {
                "default" => {
                    let json = json_literal(&value)?;
                    quote!(default: ::core::option::Option::Some(#json))
                }
                "pattern" => quote!(pattern: ::core::option::Option::Some(#value)),
                "min" => quote!(min: ::core::option::Option::Some(#value as f64)),
                "max" => quote!(max: ::core::option::Option::Some(#value as f64)),
                "max_length" => quote!(max_length: ::core::option::Option::Some(#value)),
                _ => return Err(meta.error("unknown; known are default, pattern, min, max, max_length")),
            });
            Ok(())
        })?;
    }
    Ok(quote!(::medic_sdk::args::Rules { #(#set,)* ..::medic_sdk::args::Rules::NONE }))
}

/// A literal of the language as JSON text.
fn json_literal(value: &Expr) -> Result<String> {
    let (sign, literal) = match value {
        Expr::Lit(ExprLit { lit, .. }) => ("", lit),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => match &**expr {
            Expr::Lit(ExprLit { lit: lit @ (Lit::Int(_) | Lit::Float(_)), .. }) => ("-", lit),
            other => return Err(not_a_literal(other.span())),
        },
        other => return Err(not_a_literal(other.span())),
    };
    match literal {
        Lit::Str(text) => Ok(json_string(&text.value())),
        Lit::Bool(truth) => Ok(truth.value.to_string()),
        Lit::Int(number) => Ok(format!("{sign}{}", number.base10_digits())),
        Lit::Float(number) => Ok(format!("{sign}{}", number.base10_digits())),
        other => Err(not_a_literal(other.span())),
    }
}

fn not_a_literal(span: Span) -> Error {
    Error::new(span, "a default is a literal: text, a number, true or false")
}

fn json_string(text: &str) -> String {
    let mut json = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            control if u32::from(control) < 0x20 => json.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => json.push(other),
        }
    }
    json.push('"');
    json
}
