//! What is wrong with a catalog, and how that is shown: file, line, the line drawn, what was expected, one hint.
//!
//! What lives here: the collected problems and their two renderings, for a terminal and for a line of chat. What does
//! not: finding them (`yaml`, `check`). Keeps I10: whoever loads a catalog gets all of them or a catalog, never both.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::words;
use super::yaml::Place;

/// Something wrong at a place of one file, before the file is known.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    /// Where.
    pub(super) place: Place,
    /// What, as one sentence without its full stop.
    pub(super) message: Box<str>,
    /// What was expected there.
    pub(super) label: Option<Box<str>>,
    /// The one thing to try.
    pub(super) hint: Option<Box<str>>,
    /// A second place that has to do with it: file number, place, and what is there.
    pub(super) elsewhere: Option<Box<(usize, Place, &'static str)>>,
}

impl Problem {
    /// A problem without label, hint or second place.
    pub(super) fn new(place: Place, message: impl Into<Box<str>>) -> Self {
        Self { place, message: message.into(), label: None, hint: None, elsewhere: None }
    }

    /// Says what was expected there.
    pub(super) fn label(mut self, label: impl Into<Box<str>>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Says the one thing to try.
    pub(super) fn hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Suggests the nearest of the right words, if one is near.
    pub(super) fn nearest<'a>(self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match words::nearest(word, candidates) {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// Names a second place.
    pub(super) fn elsewhere(mut self, file: usize, place: Place, what: &'static str) -> Self {
        self.elsewhere = Some(Box::new((file, place, what)));
        self
    }
}

/// A text with its path, for drawing.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// Path below the catalog's root.
    pub(super) path: String,
    /// Its content; empty when it could not be read.
    pub(super) text: Arc<str>,
}

/// One problem of a catalog, at its place.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    path: Box<str>,
    text: Arc<str>,
    place: Place,
    message: Box<str>,
    label: Option<Box<str>>,
    note: Option<Box<str>>,
    hint: Option<Box<str>>,
}

impl Diagnostic {
    /// Puts a problem into its file.
    pub(super) fn new(files: &[Text], file: usize, problem: Problem) -> Self {
        let Text { path, text } = files[file].clone();
        let note = problem.elsewhere.map(|elsewhere| {
            let (file, place, what) = *elsewhere;
            let Text { path, text } = &files[file];
            format!("{what} {path}:{}", line_and_column(text, place.start).0).into()
        });
        let Problem { place, message, label, hint, .. } = problem;
        Self { place: drawable(&text, place), path: path.into(), text, message, label, note, hint }
    }

    /// A problem of something that has no text to draw: a folder, or a file that cannot be read.
    pub(super) fn of_path(path: impl Into<Box<str>>, message: impl Into<Box<str>>, hint: Option<&str>) -> Self {
        Self {
            path: path.into(),
            text: "".into(),
            place: Place::default(),
            message: message.into(),
            label: None,
            note: None,
            hint: hint.map(Into::into),
        }
    }

    /// The file's path below the catalog's root, with forward slashes.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The line, counted from 1; 0 if it is about the file as a whole and nothing of it could be read.
    pub fn line(&self) -> usize {
        self.position().0
    }

    /// The column, counted in characters from 1; 0 when [`Self::line`] is.
    pub fn column(&self) -> usize {
        self.position().1
    }

    /// What is wrong, as one sentence without its full stop.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The one thing to try.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    fn position(&self) -> (usize, usize) {
        if self.text.is_empty() { (0, 0) } else { line_and_column(&self.text, self.place.start) }
    }

    /// One line for chat: `runbooks/start.yaml:12: what is wrong (what was expected). The hint.`
    pub fn one_line(&self) -> String {
        let mut line = match self.line() {
            0 => format!("{}: {}", self.path, self.message),
            number => format!("{}:{number}: {}", self.path, self.message),
        };
        for part in [&self.label, &self.note].into_iter().flatten() {
            line.push_str(&format!(" ({part})"));
        }
        if let Some(hint) = &self.hint {
            let mut letters = hint.chars();
            let first = letters.next().map(char::to_uppercase).into_iter().flatten();
            line.push_str(". ");
            line.extend(first.chain(letters));
        }
        if !line.ends_with(['?', '.']) {
            line.push('.');
        }
        line
    }
}

/// Draws the line with a pointer under it, without colour.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() {
            write!(f, "error: {}\n --> {}", self.message, self.path)?;
            return self.hint.iter().try_for_each(|hint| write!(f, "\n  = help: {hint}"));
        }
        let pointer = AnnotationKind::Primary.span(self.place.start..self.place.end);
        let pointer = match &self.label {
            Some(label) => pointer.label(&**label),
            None => pointer,
        };
        let mut report = Level::ERROR
            .primary_title(&*self.message)
            .element(Snippet::source(&*self.text).path(&*self.path).annotation(pointer));
        if let Some(note) = &self.note {
            report = report.element(Level::NOTE.message(&**note));
        }
        if let Some(hint) = &self.hint {
            report = report.element(Level::HELP.message(&**hint));
        }
        f.write_str(&Renderer::plain().render(&[report]))
    }
}

/// Everything that is wrong with a catalog: at least one thing, sorted by file and line. Nothing of it was loaded.
#[derive(Debug, Clone)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Sorts what was found.
    pub(super) fn new(mut found: Vec<Diagnostic>) -> Self {
        found.sort_by(|one, other| (&one.path, one.place.start).cmp(&(&other.path, other.place.start)));
        Self(found)
    }

    /// The problems, sorted by file and line.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// One line a problem, for chat.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = String> {
        self.0.iter().map(Diagnostic::one_line)
    }

    /// `1 problem in 1 file`.
    pub fn count(&self) -> String {
        let files: BTreeSet<&str> = self.0.iter().map(Diagnostic::path).collect();
        let plural = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        format!("{} in {}", plural(self.0.len(), "problem"), plural(files.len(), "file"))
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.0 {
            writeln!(f, "{diagnostic}\n")?;
        }
        write!(f, "{}; the catalog is not loaded", self.count())
    }
}

impl std::error::Error for Diagnostics {}

/// Line and column of a byte, both from 1, the column in characters.
fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// A place that can be drawn: within the text, on one line, at least one character wide where there is one.
fn drawable(text: &str, place: Place) -> Place {
    let mut start = place.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let rest = &text[start..];
    let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let first = rest.chars().next().map_or(0, char::len_utf8);
    let mut end = place.end.clamp(start + first.min(line), start + line);
    while !text.is_char_boundary(end) {
        end += 1;
    }
    Place { start, end }
}
