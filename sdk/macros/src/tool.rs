//! Owns `#[derive(Tool)]`, `#[query_tool]` and `#[diagnostic_tool]`: the name, title, description and examples of a tool.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Attribute, Data, DeriveInput, Error, FnArg, Ident, ItemFn, LitStr, Result};

use crate::{args, docs};

/// What an author may say of a tool beside its doc comment.
#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    title: Option<LitStr>,
    examples: Vec<(LitStr, LitStr)>,
}

impl Options {
    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("name") {
            self.name = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("title") {
            self.title = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("example") {
            let (mut args, mut when) = (None, None);
            meta.parse_nested_meta(|inner| {
                if inner.path.is_ident("args") {
                    args = Some(inner.value()?.parse()?);
                } else if inner.path.is_ident("when") {
                    when = Some(inner.value()?.parse()?);
                } else {
                    return Err(inner.error("unknown; an example has `args` and `when`"));
                }
                Ok(())
            })?;
            match (args, when) {
                (Some(args), Some(when)) => self.examples.push((args, when)),
                _ => return Err(meta.error("an example has `args = \"<json>\"` and `when = \"…\"`")),
            }
        } else {
            return Err(meta.error("unknown; known are name, title, example"));
        }
        Ok(())
    }
}

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "a tool is a struct: its fields are its arguments"));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a tool cannot be generic: its schema is fixed"));
    }
    let mut options = Options::default();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("tool")) {
        attribute.parse_nested_meta(|meta| options.read(&meta))?;
    }
    let arguments = args::structure(&input.ident, &data.fields)?;
    let described = described(&input.ident, &input.attrs, options)?;
    Ok(quote!(#arguments #described))
}

pub fn function(options: TokenStream, item: TokenStream, category: &str, host: &str) -> Result<TokenStream> {
    let function: ItemFn = syn::parse2(item)?;
    let mut read = Options::default();
    syn::meta::parser(|meta| read.read(&meta)).parse2(options)?;

    let signature = &function.sig;
    let shape = "a tool is `fn name(args: Args, host: &Host) -> ToolResult<Output>`";
    if signature.asyncness.is_some() || !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(signature, format!("{shape}: neither async nor generic")));
    }
    let mut inputs = signature.inputs.iter();
    let (Some(FnArg::Typed(first)), Some(FnArg::Typed(_)), None) =
        (inputs.next(), inputs.next(), inputs.next())
    else {
        return Err(Error::new_spanned(signature, shape));
    };
    let (name, visibility, args) = (&signature.ident, &function.vis, &first.ty);
    let described = described(name, &function.attrs, read)?;
    let (category, host) = (format_ident!("{category}"), format_ident!("{host}"));
    let summary = format!("The tool that `fn {name}` is, for the export macros and the test kit.");
    Ok(quote! {
        #function

        #[doc = #summary]
        #[allow(non_camel_case_types)]
        #visibility struct #name {}

        #described

        impl ::medic_sdk::tool::#category for #name {
            type Args = #args;

            fn invoke(
                args: Self::Args,
                host: &::medic_sdk::host::#host,
            ) -> ::medic_sdk::ToolResult<::medic_sdk::types::Output> {
                #name(args, host)
            }
        }
    })
}

fn described(ident: &Ident, attributes: &[Attribute], options: Options) -> Result<TokenStream> {
    let name = match &options.name {
        Some(name) => name.value(),
        None => docs::snake_case(&ident.unraw().to_string()),
    };
    if !docs::is_tool_name(&name) {
        return Err(Error::new_spanned(
            ident,
            format!(
                "`{name}` is no name for a tool: lower case letters, digits and `_`, a letter first, at most 48"
            ),
        ));
    }
    let description = docs::text(attributes);
    if description.is_empty() {
        return Err(Error::new_spanned(
            ident,
            "a tool needs a doc comment (`/// …`): it becomes the description the model and the operator read",
        ));
    }
    let title = options.title.map_or_else(|| docs::title(&name), |title| title.value());
    let examples = options
        .examples
        .iter()
        .map(|(args, when)| quote!(::medic_sdk::tool::Example { args: #args, when: #when }));
    Ok(quote! {
        impl ::medic_sdk::tool::Described for #ident {
            const NAME: &'static str = #name;
            const TITLE: &'static str = #title;
            const DESCRIPTION: &'static str = #description;
            const EXAMPLES: &'static [::medic_sdk::tool::Example] = &[#(#examples),*];
        }
    })
}
