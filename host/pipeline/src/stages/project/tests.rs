use proptest::prelude::*;

use super::*;

/// What `payload` has at `pointers`, as text, or the reason why it can't be read.
fn read(payload: &[u8], pointers: &[&str]) -> Result<Vec<String>, String> {
    let pointers: Vec<_> = pointers.iter().map(|pointer| Pointer::parse(pointer).unwrap()).collect();
    let projection = Projection::new(&pointers);
    let mut batch = Batch::new("test".into());
    batch.push(br#"{"a":"a neighbour","x":1}"#, 0.into());
    batch.push(payload, 1.into());
    let (rows, unreadable) = super::read(&projection, &batch, 1 << 20);
    match unreadable.as_slice() {
        [] => Ok(pointers
            .iter()
            .map(|pointer| {
                let value = rows.get(1, projection.field(pointer));
                match rows.text(&batch, value) {
                    Some(text) => format!("{:?}", std::str::from_utf8(text).unwrap()),
                    None => format!("{value:?}"),
                }
            })
            .collect()),
        [(1, reason)] => Err(format!("{} {}", reason.cause, reason.text)),
        more => panic!("{more:?}"),
    }
}

#[test]
fn declared_members_are_read_into_their_fields() {
    let payload = r#"{"b":{"c":-7,"d":[1]},"e":"x\ty","name":"Zoë","f":1.5e0,"g":true,"h":null,"i":{}}"#;
    let pointers = ["/b/c", "/b", "/e", "/f", "/g", "/h", "/i", "/b/d", "/b/d/e", "/none", "/name"];
    let fields = read(payload.as_bytes(), &pointers).unwrap();
    let expected = [
        "Integer(-7)",
        "Object",
        r#""x\ty""#,
        "Number(1.5)",
        "Boolean(true)",
        "Null",
        "Object",
        "Array",
        "Missing",
        "Missing",
        r#""Zoë""#,
    ];
    assert_eq!(fields, expected);
}

#[test]
fn of_duplicate_members_the_last_one_wins_with_all_below_it() {
    let twice = br#"{"a":{"b":1,"c":2},"x":1,"a":{"b":3},"x":"y"}"#;
    assert_eq!(read(twice, &["/a/b", "/a/c", "/x"]).unwrap(), ["Integer(3)", "Missing", "\"y\""]);
    assert_eq!(read(br#"{"a":{"b":1},"a":5}"#, &["/a/b", "/a"]).unwrap(), ["Missing", "Integer(5)"]);
}

#[test]
fn numbers_keep_their_bits() {
    let payload = br#"{"a":45.233333333333334,"b":9223372036854775807,"c":9223372036854775808,"d":-4e-324}"#;
    let fields = read(payload, &["/a", "/b", "/c", "/d"]).unwrap();
    let expected = [
        "Number(45.233333333333334)",
        "Integer(9223372036854775807)",
        "Number(9.223372036854776e18)",
        "Number(-5e-324)",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn a_number_without_a_fraction_is_an_integer_however_it_is_written() {
    for (written, value) in [
        ("2.0", "Integer(2)"),
        ("-2.000", "Integer(-2)"),
        ("1.6e12", "Integer(1600000000000)"),
        ("20e-1", "Integer(2)"),
        ("-0", "Integer(0)"),
        ("-0.0", "Integer(0)"),
        ("9007199254740991.0", "Integer(9007199254740991)"),
        // Two integers have this value as an f64.
        ("9007199254740992.0", "Number(9007199254740992.0)"),
        ("1e300", "Number(1e300)"),
        ("2.5", "Number(2.5)"),
    ] {
        assert_eq!(read(format!(r#"{{"a":{written}}}"#).as_bytes(), &["/a"]).unwrap(), [value], "{written}");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_json() {
    let payload = "\u{feff}{\"a\":1,\"b\":\"x\"}";
    assert_eq!(read(payload.as_bytes(), &["/a", "/b"]).unwrap(), ["Integer(1)", "\"x\""]);
    assert!(read("\u{feff}\u{feff}{}".as_bytes(), &["/a"]).is_err());
}

#[test]
fn a_payload_in_another_format_has_a_reason_that_names_it() {
    for (payload, why) in [
        (&b"\x1f\x8b\x08\x00\x00"[..], "not-utf8 the payload is not UTF-8 from byte 1 on: it is compressed with gzip"),
        (b"\x78\x9c\xab\x56", "not-utf8 the payload is not UTF-8 from byte 1 on: it is compressed with zlib"),
        (b"\xff\xfe{\x00}\x00", "not-utf8 the payload is not UTF-8 from byte 0 on: it is text in UTF-16"),
        (
            b"\xf3\x89\x9a\xc2\x0a\x01k",
            "not-utf8 the payload is not UTF-8 from byte 0 on: it is an aggregate of the Kinesis Producer Library \
             that is damaged: its MD5 or its content is wrong",
        ),
        (b"\xc3\x28", "not-utf8 the payload is not UTF-8 from byte 0 on"),
    ] {
        assert_eq!(read(payload, &["/a"]), Err(why.to_owned()));
    }
}

#[test]
fn an_invalid_message_has_a_reason_with_field_and_byte() {
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let cases: [(&[u8], &str); 14] = [
        (b"", "empty the payload is empty"),
        (b"hello", "not-json not JSON: expected value at line 1 column 1"),
        (br#"{"a":1,"b"#, "not-json not JSON: EOF while parsing a string at line 1 column 9"),
        (br#"{"a":1,"b":2"#, "not-json not JSON: EOF while parsing an object at line 1 column 12"),
        (b"[1]", "not-json a JSON object is wanted, not an array"),
        (b"5", "not-json a JSON object is wanted, not a number"),
        (b"\"x\"", "not-json a JSON object is wanted, not a text"),
        (b"{} {}", "not-json not JSON: trailing characters at line 1 column 4"),
        (br#"{"a":NaN}"#, "not-json not JSON, in the field `/a`: expected value at line 1 column 6"),
        (br#"{"a":{"b":1e400}}"#, "not-json not JSON, in the field `/a/b`: number out of range at line 1 column 15"),
        (b"{\"a\":\"\xff\"}", "not-utf8 the payload is not UTF-8 from byte 6 on"),
        (
            br#"{"name":"\ud800"}"#,
            "not-json not JSON, in the field `/name`: unexpected end of hex escape at line 1 column 16",
        ),
        (br#"{"a":01}"#, "not-json not JSON, in the field `/a`: invalid number at line 1 column 7"),
        (deep.as_bytes(), "not-json not JSON, in the field `/a`: recursion limit exceeded at line 1 column 132"),
    ];
    for (payload, reason) in cases {
        let payload_text = String::from_utf8_lossy(&payload[..payload.len().min(40)]).into_owned();
        assert_eq!(read(payload, &["/a"]), Err(reason.to_owned()), "{payload_text}");
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Into::into),
        "[a-zé\"\\\\\n]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
            prop::collection::btree_map("[abc]", inner, 0..3)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Fields are what serde_json's own tree has at the same pointers.
    #[test]
    fn fields_are_what_the_tree_has_at_the_pointer(members in prop::collection::btree_map("[abc]", json(), 0..4)) {
        let value = serde_json::Value::Object(members.into_iter().collect());
        let pointers = ["/a", "/b", "/a/b", "/a/c", "/a/b/c", "/c/a"];
        let expected: Vec<_> = pointers.iter().map(|pointer| {
            let mut objects = Some(&value);
            for member in pointer[1..].split('/') {
                objects = objects.and_then(|value| value.as_object()).and_then(|object| object.get(member));
            }
            match objects {
                None => "Missing".to_owned(),
                Some(serde_json::Value::Null) => "Null".to_owned(),
                Some(serde_json::Value::Bool(value)) => format!("Boolean({value})"),
                Some(serde_json::Value::Number(number)) => match number.as_i64() {
                    Some(value) => format!("Integer({value})"),
                    None => format!("{:?}", FieldValue::of_f64(number.as_f64().unwrap())),
                },
                Some(serde_json::Value::String(text)) => format!("{text:?}"),
                Some(serde_json::Value::Array(_)) => "Array".to_owned(),
                Some(serde_json::Value::Object(_)) => "Object".to_owned(),
            }
        }).collect();
        prop_assert_eq!(read(value.to_string().as_bytes(), &pointers), Ok(expected));
    }

    /// Any bytes give a result.
    #[test]
    fn no_bytes_panic(payload in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        "[{}\\[\\]:,\"a0-9eE.+\\\\u-]{0,60}".prop_map(String::into_bytes),
    ]) {
        let json = payload.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&payload);
        let is_object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(json).is_ok();
        prop_assert_eq!(read(&payload, &["/a", "/a/b"]).is_ok(), is_object);
    }
}
