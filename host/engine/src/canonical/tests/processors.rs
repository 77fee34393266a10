//! Programs on processors whose NaNs have other bits: rewritten, they return and store the same everywhere, and the
//! same as Cranelift's own canonicalization makes of them.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::super::control::Budget;
use super::super::{component, function, rewrite};
use super::program;
use super::run::{Outcome, Processor, run};

/// Processors whose NaNs differ in their signs and payloads.
const PROCESSORS: [Processor; 3] = [Processor::This, Processor::Other(1), Processor::Other(0x5eed)];

fn parse(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn without_canonicalization_the_bits_depend_on_the_processor() {
    let wasm = parse("(module (func (export \"run\") (result f64)  f64.const 0  f64.const 0  f64.div))");
    let outcomes = PROCESSORS.map(|processor| run(processor, &wasm));
    assert_ne!(outcomes[1], outcomes[0]);
    assert_ne!(outcomes[1], outcomes[2]);
    let rewritten = rewrite(&wasm).unwrap();
    let canonical = run(Processor::Canonical, &wasm);
    assert_eq!(canonical.results, Ok(vec![0x7ff8_0000_0000_0000]));
    assert_eq!(PROCESSORS.map(|processor| run(processor, &rewritten)), [(); 3].map(|()| canonical.clone()));
}

#[test]
fn most_random_programs_run_to_the_end_and_depend_on_the_processor() {
    let (mut ended, mut differ) = (0, 0);
    let mut random = proptest::test_runner::TestRunner::deterministic();
    let choices = prop::collection::vec(any::<u8>(), 300);
    for _ in 0..40 {
        let choices = choices.new_tree(&mut random).unwrap().current();
        let wasm = parse(&program::text(&choices));
        let [one, other] = [1, 2].map(|seed| run(Processor::Other(seed), &wasm));
        ended += usize::from(one.results.is_ok());
        differ += usize::from(one != other);
    }
    assert!(ended > 20 && differ > 15, "{ended} of 40 end, {differ} differ");
}

proptest! {
    // Each case compiles five modules.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 8,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_programs_give_the_same_everywhere(choices in prop::collection::vec(any::<u8>(), 50..500)) {
        let text = program::text(&choices);
        let wasm = parse(&text);
        let expected: Outcome = run(Processor::Canonical, &wasm);
        let rewritten = rewrite(&wasm).unwrap();
        let coarsely = component::rewrite(&wasm, |signatures, ty, body| {
            function::read_within(signatures, ty, body, Budget::Coarse).map(Option::unwrap)
        });
        let coarse = run(Processor::Other(2), &coarsely.unwrap());
        prop_assert!(coarse == expected, "coarsely\n{text}");
        for processor in PROCESSORS {
            let after = || wasmprinter::print_bytes(&rewritten).unwrap();
            prop_assert!(run(processor, &rewritten) == expected, "{processor:?}\n{text}\n{}", after());
        }
    }
}
