//! Attribute and derive macros of the Medic SDK. Owns what an author writes; never what runs: the generated code only
//! calls functions of `medic-sdk`, where they can be read and tested.

mod args;
mod docs;
mod promql;
mod tool;

use proc_macro::TokenStream;

/// Makes a struct the arguments of a tool, or an enum of unit variants one of their types.
///
/// Every field needs a doc comment: it becomes the description the model reads. `#[arg(…)]` takes `default = <literal>`,
/// `pattern = "<regex>"`, `min = <number>`, `max = <number>`, `max_length = <number>`.
#[proc_macro_derive(ToolArgs, attributes(arg))]
pub fn derive_tool_args(input: TokenStream) -> TokenStream {
    expand(syn::parse(input).and_then(|input| args::derive(&input)))
}

/// Makes a struct a tool: its fields are the arguments, its doc comment the description, its name in snake case the name.
///
/// `#[tool(…)]` takes `name = "…"`, `title = "…"` and any number of `example(args = "<json>", when = "…")`.
#[proc_macro_derive(Tool, attributes(arg, tool))]
pub fn derive_tool(input: TokenStream) -> TokenStream {
    expand(syn::parse(input).and_then(|input| tool::derive(&input)))
}

/// Makes a function a tool that only reads: `fn name(args: Args, host: &QueryHost) -> ToolResult<Output>`.
///
/// The doc comment becomes the description. Takes what `#[tool(…)]` takes. Export it with `export_query_tools!(name)`.
#[proc_macro_attribute]
pub fn query_tool(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(tool::function(options.into(), item.into(), "QueryTool", "QueryHost"))
}

/// Makes a function a tool that reads and probes: `fn name(args: Args, host: &DiagnosticHost) -> ToolResult<Output>`.
///
/// The doc comment becomes the description. Takes what `#[tool(…)]` takes. Export it with `export_diagnostic_tools!(name)`.
#[proc_macro_attribute]
pub fn diagnostic_tool(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(tool::function(options.into(), item.into(), "DiagnosticTool", "DiagnosticHost"))
}

/// Builds a PromQL expression: `promql!("rate(x{service=$service}[$window])", window = args.window)`.
///
/// `$name` outside quotes is replaced by the argument of that name, or by the variable in scope. Text is quoted and
/// escaped, after `=~` and `!~` as a regular expression that matches nothing but itself; windows and numbers go in as
/// they are.
#[proc_macro]
pub fn promql(input: TokenStream) -> TokenStream {
    expand(promql::expand(input.into()))
}

fn expand(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(|error| error.to_compile_error()).into()
}
