//! The list of mutations fits the sources: each replaces a text that stands there once, and every invariant has some.
//! That the tests fail under them is for `script/mutations`, which takes too long for every change.

#[path = "../examples/mutations/list.rs"]
mod list;

use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn each_mutation_fits_its_file() {
    let all = list::read(&read("tests/mutations.txt")).expect("the list can be read");
    let misfits: Vec<String> = all.iter().filter_map(|one| one.apply(&read(&one.file)).err()).collect();
    assert!(misfits.is_empty(), "{}", misfits.join("\n"));
    for mutation in &all {
        let changed = mutation.apply(&read(&mutation.file)).expect("it fits");
        assert_ne!(changed, read(&mutation.file), "{} changes nothing", mutation.what);
        assert!(!mutation.why.is_empty(), "{} has no reason", mutation.what);
        let own = mutation.test.iter().any(|word| word.starts_with(&mutation.prefix()));
        assert!(own, "{} names no test of {}", mutation.what, mutation.invariant);
    }
    for number in 1..=13 {
        let invariant = format!("I{number}");
        assert!(all.iter().any(|mutation| mutation.invariant == invariant), "{invariant} has no mutation");
    }
}

#[test]
fn a_list_that_is_wrong_says_where() {
    let entry = "I1 what\nfile a\n- x\n+ y\ntest --lib i1_\nwhy so\n";
    assert_eq!(list::read(entry).map(|all| all.len()), Ok(1));
    assert_eq!(list::read(&format!("# note\n\n{entry}\n\n{entry}")), Err("I1 what stands there twice".to_owned()));
    assert_eq!(list::read(&entry.replace("+ y\n", "")), Err("line 1: this entry has no `-` or no `+`".to_owned()));
    assert_eq!(
        list::read(&format!("\n{entry}nonsense\n")),
        Err("line 8: begins with none of: I1, file, -, +, test, why".to_owned())
    );
    let mutation = list::read(entry).expect("a list").remove(0);
    assert_eq!(mutation.apply("a x b"), Ok("a y b".to_owned()));
    assert!(mutation.apply("x x").is_err() && mutation.apply("b").is_err());
}
