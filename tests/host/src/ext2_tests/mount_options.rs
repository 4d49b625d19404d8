// SPDX-License-Identifier: GPL-2.0

//! Tests of `mount_options.rs`.

use crate::ext2::mount_options::words;

/// Names, values, and what they are as numbers.
fn split(bytes: &[u8]) -> Vec<(String, Option<String>, Option<u32>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    words(bytes)
        .map(|word| (text(word.name), word.value.map(text), word.number()))
        .collect()
}

#[test]
fn options_are_words_with_values() {
    let mut field = [0; 64];
    assert!(split(&field).is_empty() && split(&[]).is_empty());
    let text = b"errors=remount-ro,noacl,,resuid=7,a=b=c,x=";
    field[..text.len()].copy_from_slice(text);
    // What follows the first zero is not part of it.
    field[60] = b'y';
    let some = |text: &str| Some(text.to_owned());
    let expected = [
        ("errors".to_owned(), some("remount-ro"), None),
        ("noacl".to_owned(), None, None),
        ("resuid".to_owned(), some("7"), Some(7)),
        ("a".to_owned(), some("b=c"), None),
        ("x".to_owned(), some(""), None),
    ];
    assert_eq!(split(&field), expected);
    // All of the field.
    assert_eq!(split(&[b'z'; 64]), [("z".repeat(64), None, None)]);
}

#[test]
fn numbers_have_32_bits() {
    let number = |text: &str| split(text.as_bytes())[0].2;
    assert_eq!(number("a=0"), Some(0));
    assert_eq!(number("a=4294967295"), Some(u32::MAX));
    for none in ["a=4294967296", "a=-1", "a=+1", "a=0x10", "a= 1", "a=\u{b2}"] {
        assert_eq!(number(none), None, "{none}");
    }
}
