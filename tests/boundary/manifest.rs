//! What a plugin says about itself.

use audit_plugin_api::manifest::{Manifest, OptionSpec};
use audit_plugin_api::{Module, SinkOptions};
use object::{Object, ObjectSymbol};
use serde_json::json;

use crate::{manifest, module, plugin};

#[test]
fn the_manifest_names_the_classes_that_the_module_has() {
    let manifest = manifest(&plugin("audit_test_sinks"));
    assert_eq!((manifest.api.as_str(), manifest.panic.as_str()), ("1.0.0", "unwind"));
    assert_eq!(manifest.crate_name, "audit-test-sinks");
    assert!(manifest.rustc.starts_with("rustc "), "{}", manifest.rustc);
    assert!(manifest.target.contains("linux"), "{}", manifest.target);
    let classes: Vec<&str> = manifest.classes.iter().map(|class| class.class.as_str()).collect();
    assert_eq!(module().classes(), classes);

    let recording = &manifest.classes[0];
    assert!(recording.durable);
    assert_eq!((recording.batch_size, recording.flush_interval), (Some(50), Some(0.05)));
    assert_eq!(recording.max_in_flight, None);
    let [path, delay] = recording.options.as_slice() else { panic!("{:?}", recording.options) };
    assert_eq!(
        (path.name.as_str(), path.required, path.types.as_slice()),
        ("path", true, &["string".to_owned()][..])
    );
    assert_eq!(path.help, "The file that is appended to.");
    assert_eq!((delay.required, &delay.default), (false, &json!(0)));
    let panicking =
        manifest.classes.iter().find(|class| class.class == "test.Panicking").expect("it is there");
    assert!(panicking.options[0].values.contains(&"drop".to_owned()), "{:?}", panicking.options[0]);
}

#[test]
fn a_plugin_exports_one_symbol() {
    for name in ["audit_test_sinks", "audit_sink_print", "audit_sink_file", "audit_sink_fake"] {
        let path = plugin(name);
        let bytes = std::fs::read(&path).expect("the plugin was built");
        let file = object::File::parse(&*bytes).expect("it is an ELF file");
        let exports: Vec<&str> = file
            .dynamic_symbols()
            .filter(|symbol| symbol.is_definition())
            .map(|symbol| symbol.name().expect("it is text"))
            .collect();
        assert_eq!(exports, [manifest(&path).entry_symbol()]);
    }
}

#[test]
fn a_plugin_that_lacks_its_symbol_is_refused() {
    let path = plugin("audit_test_sinks");
    let manifest = Manifest { crate_name: "somebody-else".into(), ..manifest(&path) };
    let refused = Module::load(&path, &manifest).err().expect("it is refused");
    assert!(refused.summary.contains("audit_sinks_of_somebody_else"), "{refused}");
    assert!(refused.summary.contains("libaudit_test_sinks.so"), "{refused}");
}

#[test]
fn sinks_of_several_plugins_are_linked_into_one_binary() {
    let linked = |plugin_name: &str, specs: &str| {
        let options: Vec<OptionSpec> = serde_json::from_str(specs).expect("it is a list of options");
        assert_eq!(manifest(&plugin(plugin_name)).classes[0].options, options);
    };
    linked("audit_sink_print", audit_sink_print::PrintOptions::SPECS);
    linked("audit_sink_file", audit_sink_file::FileOptions::SPECS);
    linked("audit_sink_fake", audit_sink_fake::FakeOptions::SPECS);
}
