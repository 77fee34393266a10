//! Compiled code that an operator has signed.

use paceline_engine::{CodeSignature, Engine, Limits, Precompiler, Role, SignedCode, Target};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::plugins::{require_plugins, wasm};

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref()).unwrap()
}

fn public(pair: &Ed25519KeyPair) -> [u8; 32] {
    pair.public_key().as_ref().try_into().unwrap()
}

fn sign(pair: &Ed25519KeyPair, statement: &[u8]) -> CodeSignature {
    CodeSignature { key: public(pair), signature: pair.sign(statement).as_ref().try_into().unwrap() }
}

fn compiler() -> Precompiler {
    Precompiler::new(Target::of_host().expect("tests run on Linux")).unwrap()
}

#[test]
fn signed_code_is_run_instead_of_what_would_be_compiled() {
    require_plugins!();
    let (pair, engine) = (pair(), Engine::new(Limits::default()).unwrap());
    assert_eq!(engine.precompiled_name(), Some(compiler().name()));
    let (scorer, validator) = (wasm("output"), wasm("telemetry"));
    let code = compiler().compile(&scorer, |statement| sign(&pair, statement)).unwrap();
    let signed = SignedCode { bytes: code.clone(), trusted: vec![[7; 32], public(&pair)] };
    assert_eq!(engine.load_signed(&scorer, Some(&signed)).unwrap().roles(), [Role::Scorer]);

    // Another plugin's machine code, signed as the scorer's, shows which of the two is run.
    let (mut of_scorer, mut of_validator) = (Vec::new(), Vec::new());
    let collect = |wasm: &[u8], statement: &mut Vec<u8>| {
        let compiled = compiler().compile(wasm, |signed| {
            statement.extend_from_slice(signed);
            sign(&pair, signed)
        });
        compiled.unwrap().split_off(96)
    };
    let of_the_scorer = collect(&scorer, &mut of_scorer);
    let of_the_validator = collect(&validator, &mut of_validator);
    let claim = |code: &[u8]| {
        let statement = [&of_scorer[..of_scorer.len() - of_the_scorer.len()], code].concat();
        let CodeSignature { key, signature } = sign(&pair, &statement);
        SignedCode { bytes: [&key[..], &signature, code].concat(), trusted: vec![public(&pair)] }
    };
    assert_eq!(engine.load_signed(&scorer, Some(&claim(&of_the_validator))).unwrap().roles(), [Role::Validator]);
    // What wasmtime refuses is compiled, whoever has signed it.
    assert_eq!(engine.load_signed(&scorer, Some(&claim(b"no code"))).unwrap().roles(), [Role::Scorer]);
    // Without a trusted key nothing is run.
    let untrusted = SignedCode { trusted: Vec::new(), ..claim(&of_the_validator) };
    assert_eq!(engine.load_signed(&scorer, Some(&untrusted)).unwrap().roles(), [Role::Scorer]);
}

#[test]
fn an_engine_that_does_not_optimise_takes_no_code_from_elsewhere() {
    let engine = Engine::unoptimised(Limits::default(), None).unwrap();
    assert_eq!(engine.precompiled_name(), None);
}
