//! What wit-bindgen generates from `wit/`. Only this crate and its macros use it.

/// The types and imports that all worlds share.
pub mod common {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package paceline:sdk;
            world common {
                import paceline:plugin/columns@0.2.0;
                import paceline:plugin/settings@0.2.0;
                import paceline:plugin/log@0.2.0;
            }
        ",
        world: "paceline:sdk/common",
        generate_all,
        generate_unused_types: true,
    });
}

/// The world `validator`.
pub mod validator {
    wit_bindgen::generate!({
        path: "wit",
        world: "validator",
        with: {
            "paceline:plugin/columns@0.2.0": crate::bindings::common::paceline::plugin::columns,
            "paceline:plugin/settings@0.2.0": crate::bindings::common::paceline::plugin::settings,
            "paceline:plugin/log@0.2.0": crate::bindings::common::paceline::plugin::log,
        },
        pub_export_macro: true,
        export_macro_name: "export_validator",
        default_bindings_module: "paceline_plugin::bindings::validator",
        runtime_path: "paceline_plugin::wit_bindgen::rt",
    });
}

/// The world `scorer`.
pub mod scorer {
    wit_bindgen::generate!({
        path: "wit",
        world: "scorer",
        with: {
            "paceline:plugin/columns@0.2.0": crate::bindings::common::paceline::plugin::columns,
            "paceline:plugin/settings@0.2.0": crate::bindings::common::paceline::plugin::settings,
            "paceline:plugin/log@0.2.0": crate::bindings::common::paceline::plugin::log,
        },
        pub_export_macro: true,
        export_macro_name: "export_scorer",
        default_bindings_module: "paceline_plugin::bindings::scorer",
        runtime_path: "paceline_plugin::wit_bindgen::rt",
    });
}

/// The world `aggregator`.
pub mod aggregator {
    wit_bindgen::generate!({
        path: "wit",
        world: "aggregator",
        with: {
            "paceline:plugin/columns@0.2.0": crate::bindings::common::paceline::plugin::columns,
            "paceline:plugin/settings@0.2.0": crate::bindings::common::paceline::plugin::settings,
            "paceline:plugin/log@0.2.0": crate::bindings::common::paceline::plugin::log,
        },
        pub_export_macro: true,
        export_macro_name: "export_aggregator",
        default_bindings_module: "paceline_plugin::bindings::aggregator",
        runtime_path: "paceline_plugin::wit_bindgen::rt",
    });
}

/// What the world `migrating-aggregator` adds to `aggregator`. A component gets both from two macros, each with its own
/// world: bindings of the whole world would define the types of `aggregation` a second time.
pub mod migration {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package paceline:sdk;
            world migration {
                export paceline:plugin/migration@0.2.0;
            }
        ",
        world: "paceline:sdk/migration",
        with: {
            "paceline:plugin/columns@0.2.0": crate::bindings::common::paceline::plugin::columns,
        },
        pub_export_macro: true,
        export_macro_name: "export_migration",
        default_bindings_module: "paceline_plugin::bindings::migration",
        runtime_path: "paceline_plugin::wit_bindgen::rt",
    });
}
