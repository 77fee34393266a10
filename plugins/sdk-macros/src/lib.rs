//! The derives of `paceline-plugin`: from a plugin's struct to the contract's columns, settings and outputs.
//!
//! The traits `Fields`, `Settings` and `Outputs` of `paceline-plugin` document what they generate.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Expr, Field, Ident, LitStr, Result, parse_macro_input};

/// Implements `paceline_plugin::Fields` for a struct of plain values.
#[proc_macro_derive(Fields, attributes(field))]
pub fn fields(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive_fields(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// Implements `paceline_plugin::Settings` for a struct of settings.
#[proc_macro_derive(Settings, attributes(setting))]
pub fn settings(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive_settings(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// Implements `paceline_plugin::Outputs` for a struct of outputs.
#[proc_macro_derive(Outputs, attributes(output))]
pub fn outputs(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive_outputs(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// An attribute of a field: `path = "…"` or `name = "…"`, and `default = …`.
#[derive(Default)]
struct Attribute {
    name: Option<LitStr>,
    default: Option<Expr>,
}

impl Attribute {
    /// Parses `#[attribute(…)]`. `key` is the key of the field's external name: `path` or `name`.
    fn read(field: &Field, attribute: &str, key: &str, default_allowed: bool) -> Result<Self> {
        let mut read = Self::default();
        for found in field.attrs.iter().filter(|found| found.path().is_ident(attribute)) {
            found.parse_nested_meta(|meta| {
                if meta.path.is_ident(key) {
                    read.name = Some(meta.value()?.parse()?);
                } else if default_allowed && meta.path.is_ident("default") {
                    read.default = Some(meta.value()?.parse()?);
                } else if default_allowed {
                    return Err(meta.error(format!("expected `{key}` or `default`")));
                } else {
                    return Err(meta.error(format!("expected `{key}`")));
                }
                Ok(())
            })?;
        }
        Ok(read)
    }
}

/// The named fields of a struct. A unit struct has none.
fn named(input: &DeriveInput) -> Result<Vec<(&Ident, &Field)>> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "expected a struct"));
    };
    data.fields
        .iter()
        .map(|field| match &field.ident {
            Some(ident) => Ok((ident, field)),
            None => Err(Error::new_spanned(field, "expected a field with a name")),
        })
        .collect()
}

fn derive_fields(input: &DeriveInput) -> Result<Tokens> {
    let name = &input.ident;
    let visibility = &input.vis;
    let columns_name = format_ident!("{name}Columns");
    let lifetimes: Vec<_> = input.generics.lifetimes().collect();
    if lifetimes.len() > 1 || lifetimes.len() != input.generics.params.len() {
        return Err(Error::new_spanned(&input.generics, "expected at most one parameter, a lifetime"));
    }
    // The columns borrow from the batch for the lifetime of the plugin's struct, or for a new one where it has none.
    let own: syn::Lifetime = syn::parse_quote!('batch);
    let lifetime = lifetimes.first().map_or(&own, |parameter| &parameter.lifetime);
    let row = if lifetimes.is_empty() { quote!(#name) } else { quote!(#name<#lifetime>) };

    let (mut idents, mut types, mut paths, mut defaults) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (ident, field) in named(input)? {
        let attribute = Attribute::read(field, "field", "path", true)?;
        let path = attribute.name.map_or_else(|| format!("/{}", unraw(ident)), |path| path.value());
        if !path.starts_with(['/', '@']) {
            return Err(Error::new_spanned(field, format!("the path `{path}` must begin with `/` or `@`")));
        }
        let ty = &field.ty;
        defaults.push(match attribute.default {
            Some(default) => quote!(Some(<#ty as ::paceline_plugin::glue::FieldType<#lifetime>>::default(#default))),
            None => quote!(None),
        });
        idents.push(ident);
        types.push(ty);
        paths.push(path);
    }
    if idents.is_empty() {
        return Err(Error::new_spanned(name, "expected a struct with fields"));
    }
    let indexes = 0..idents.len();
    let first = idents[0];
    let first_type = types[0];
    let docs_of_fields = paths.iter().map(|path| format!("The values of `{path}`."));
    let docs = format!("The fields of [`{name}`] as whole columns.");

    Ok(quote! {
        #[doc = #docs]
        #[allow(dead_code, reason = "not every plugin reads whole columns")]
        #visibility struct #columns_name<#lifetime> {
            #(
                #[doc = #docs_of_fields]
                #visibility #idents: <#types as ::paceline_plugin::glue::FieldType<#lifetime>>::Column,
            )*
        }

        impl<#lifetime> ::paceline_plugin::Columns<#lifetime> for #columns_name<#lifetime> {
            fn fields() -> ::paceline_plugin::glue::Vec<::paceline_plugin::glue::Field> {
                ::paceline_plugin::glue::vec![#(::paceline_plugin::glue::Field {
                    path: ::paceline_plugin::glue::String::from(#paths),
                    kind: <#types as ::paceline_plugin::glue::FieldType<#lifetime>>::KIND,
                    default: #defaults,
                }),*]
            }

            fn read(
                batch: &#lifetime ::paceline_plugin::glue::Batch,
            ) -> ::core::result::Result<Self, ::paceline_plugin::glue::String> {
                ::core::result::Result::Ok(Self {
                    #(#idents: ::paceline_plugin::glue::column::<#types>(batch, #indexes, #paths)?,)*
                })
            }

            fn rows(&self) -> usize {
                <#first_type as ::paceline_plugin::glue::FieldType<#lifetime>>::len(&self.#first)
            }
        }

        impl<#lifetime> ::paceline_plugin::Fields<#lifetime> for #row {
            type Columns = #columns_name<#lifetime>;

            #[inline]
            fn row(columns: &Self::Columns, row: usize) -> Self {
                Self {
                    #(#idents: <#types as ::paceline_plugin::glue::FieldType<#lifetime>>::get(&columns.#idents, row),)*
                }
            }
        }
    })
}

fn derive_settings(input: &DeriveInput) -> Result<Tokens> {
    let name = &input.ident;
    let (mut idents, mut settings, mut defaults) = (Vec::new(), Vec::new(), Vec::new());
    for (ident, field) in named(input)? {
        let attribute = Attribute::read(field, "setting", "name", true)?;
        settings.push(attribute.name.map_or_else(|| unraw(ident).replace('_', "-"), |name| name.value()));
        defaults.push(match attribute.default {
            Some(default) => quote!(::core::option::Option::Some(#default)),
            None => quote!(::core::option::Option::None),
        });
        idents.push(ident);
    }
    Ok(quote! {
        impl ::paceline_plugin::Settings for #name {
            fn read() -> ::core::result::Result<Self, ::paceline_plugin::glue::String> {
                ::core::result::Result::Ok(Self {
                    #(#idents: ::paceline_plugin::glue::setting(#settings, #defaults)?,)*
                })
            }
        }
    })
}

fn derive_outputs(input: &DeriveInput) -> Result<Tokens> {
    let name = &input.ident;
    let (mut idents, mut types, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (ident, field) in named(input)? {
        let attribute = Attribute::read(field, "output", "name", false)?;
        names.push(attribute.name.map_or_else(|| unraw(ident), |name| name.value()));
        idents.push(ident);
        types.push(&field.ty);
    }
    if idents.is_empty() {
        return Err(Error::new_spanned(name, "expected a struct with fields"));
    }
    Ok(quote! {
        impl ::paceline_plugin::Outputs for #name {
            fn outputs() -> ::paceline_plugin::glue::Vec<::paceline_plugin::glue::Output> {
                ::paceline_plugin::glue::vec![#(::paceline_plugin::glue::Output {
                    name: ::paceline_plugin::glue::String::from(#names),
                    kind: <#types as ::paceline_plugin::glue::IntoOutput>::KIND,
                }),*]
            }

            fn columns(rows: ::paceline_plugin::glue::Vec<Self>) -> ::paceline_plugin::glue::Vec<::paceline_plugin::glue::Column> {
                ::paceline_plugin::glue::vec![#(<#types as ::paceline_plugin::glue::IntoOutput>::column(
                    rows.iter().map(|row| ::core::clone::Clone::clone(&row.#idents)),
                )),*]
            }
        }
    })
}

fn unraw(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or_else(|| text.clone(), str::to_owned)
}
