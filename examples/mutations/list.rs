//! The list of mutations, `tests/mutations.txt`: reading it, and what each does to the text of a file.

use std::collections::BTreeSet;

/// One way in which the code could stop keeping an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mutation {
    /// The invariant, such as `I1`.
    pub(crate) invariant: String,
    /// What is wrong then, in a few words. Names the mutation: no two have the same.
    pub(crate) what: String,
    /// The file, from the root of the sources.
    pub(crate) file: String,
    /// The text that is replaced; it stands in the file exactly once.
    pub(crate) find: String,
    /// The text that takes its place.
    pub(crate) replacement: String,
    /// What `cargo test` is to be told, as words: which tests must fail.
    pub(crate) test: Vec<String>,
    /// Why that must not be.
    pub(crate) why: String,
}

impl Mutation {
    /// What the names of the tests that count begin with: `i1_` for `I1`.
    pub(crate) fn prefix(&self) -> String {
        format!("{}_", self.invariant.to_lowercase())
    }

    /// The file's text with the mutation.
    ///
    /// # Errors
    /// When the text that it replaces does not stand there exactly once.
    pub(crate) fn apply(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.find).count() {
            1 => Ok(text.replacen(&self.find, &self.replacement, 1)),
            count => Err(format!("{}: {}: its text stands {count} times in {}", self.invariant, self.what, self.file)),
        }
    }
}

/// Reads the list. Entries are parted by empty lines; lines that begin with `#` are for people.
///
/// # Errors
/// A sentence that names the line.
pub(crate) fn read(text: &str) -> Result<Vec<Mutation>, String> {
    let mut all = Vec::new();
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#')).peekable();
    while lines.peek().is_some() {
        let entry: Vec<(i32, &str)> = std::iter::from_fn(|| lines.next_if(|(_, line)| !line.is_empty())).collect();
        if entry.is_empty() {
            lines.next();
        } else {
            all.push(entry_of(&entry)?);
        }
    }
    let mut names = BTreeSet::new();
    match all.iter().find(|mutation| !names.insert((&mutation.invariant, &mutation.what))) {
        Some(twice) => Err(format!("{} {} stands there twice", twice.invariant, twice.what)),
        None => Ok(all),
    }
}

fn entry_of(lines: &[(i32, &str)]) -> Result<Mutation, String> {
    let begins = lines.first().map_or(0, |(number, _)| *number);
    let wrong = |number: i32, what: &str| format!("line {number}: {what}");
    let (mut head, mut file, mut test, mut why) = (None, None, None, None);
    let (mut find, mut replacement) = (Vec::new(), Vec::new());
    for (number, line) in lines {
        let (mark, rest) = line.split_once(' ').unwrap_or((*line, ""));
        match mark {
            "-" => find.push(rest),
            "+" => replacement.push(rest),
            "file" => file = Some(rest),
            "test" => test = Some(rest),
            "why" => why = Some(rest),
            invariant if invariant.strip_prefix('I').is_some_and(|n| n.parse::<u32>().is_ok()) => {
                head = Some((invariant, rest));
            }
            _ => return Err(wrong(*number, "begins with none of: I1, file, -, +, test, why")),
        }
    }
    let missing = |what: &str| wrong(begins, &format!("this entry has no {what}"));
    let (invariant, what) = head.ok_or_else(|| missing("invariant"))?;
    if find.is_empty() || replacement.is_empty() {
        return Err(missing("`-` or no `+`"));
    }
    Ok(Mutation {
        invariant: invariant.to_owned(),
        what: what.to_owned(),
        file: file.ok_or_else(|| missing("file"))?.to_owned(),
        find: find.join("\n"),
        replacement: replacement.join("\n"),
        test: test.ok_or_else(|| missing("test"))?.split_whitespace().map(str::to_owned).collect(),
        why: why.ok_or_else(|| missing("why"))?.to_owned(),
    })
}
