//! What somebody typed, out of what Slack makes of it.
//!
//! What lives here: undoing Slack's markup of mentions, channels, links and escapes, in one pass, so that nothing that
//! somebody typed is read twice. What does not: what it means (`command`).

/// What the bot is called in a line, whatever its display name is.
const BOT: &str = "@countersign";

/// Undoes Slack's markup. `own` is the bot's own id; `name` gives the name under which the catalog knows an account, and
/// whoever has none is called by their id: never by a display name, which anybody may choose.
pub(super) fn typed(text: &str, own: &str, name: &dyn Fn(&str) -> Option<String>) -> String {
    let mut words = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '&']) {
        words.push_str(&rest[..at]);
        rest = &rest[at..];
        let marked = rest.strip_prefix('<').and_then(|inner| inner.split_once('>'));
        rest = match marked {
            Some((inner, after)) => {
                let is_bot = mark(inner, own, name, &mut words);
                // `<@U0>ping` is two words.
                if is_bot && after.starts_with(char::is_alphanumeric) {
                    words.push(' ');
                }
                after
            }
            None => {
                let (character, after) = letter(rest);
                words.push(character);
                after
            }
        };
    }
    words.push_str(rest);
    words
}

/// Whether a text begins with a mention of the bot.
pub(super) fn begins_with_mention(text: &str, own: &str) -> bool {
    let rest = text.trim_start().strip_prefix("<@").and_then(|rest| rest.strip_prefix(own));
    rest.is_some_and(|rest| rest.starts_with(['>', '|']))
}

/// The first letter of a text that begins with `<` or `&`, its escape undone, and what follows.
fn letter(text: &str) -> (char, &str) {
    for (escape, character) in [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&')] {
        if let Some(after) = text.strip_prefix(escape) {
            return (character, after);
        }
    }
    let character = if text.starts_with('<') { '<' } else { '&' };
    (character, &text[1..])
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        let (character, after) = letter(&rest[at..]);
        plain.push(character);
        rest = after;
    }
    plain + rest
}

/// Writes what stood between `<` and `>`. Whether it was a mention of the bot.
fn mark(inner: &str, own: &str, name: &dyn Fn(&str) -> Option<String>, words: &mut String) -> bool {
    let (target, label) = match inner.split_once('|') {
        Some((target, label)) => (target, Some(unescape(label)).filter(|label| !label.is_empty())),
        None => (inner, None),
    };
    if let Some(user) = target.strip_prefix('@') {
        if user == own {
            words.push_str(BOT);
            return true;
        }
        words.push('@');
        words.push_str(&name(user).unwrap_or_else(|| user.to_owned()));
    } else if let Some(channel) = target.strip_prefix('#') {
        words.push('#');
        words.push_str(&label.unwrap_or_else(|| channel.to_owned()));
    } else if let Some(special) = target.strip_prefix('!') {
        let bare = special.split('^').next().unwrap_or(special);
        match (bare, label) {
            ("here" | "channel" | "everyone", _) => {
                words.push('@');
                words.push_str(bare);
            }
            // A group's handle, or the words that stand for a date.
            (_, Some(label)) => words.push_str(&label),
            ("subteam", None) => {
                words.push('@');
                words.push_str(special.split('^').nth(1).unwrap_or(special));
            }
            (_, None) => words.push_str(&unescape(inner)),
        }
    } else {
        let url = unescape(target);
        match label {
            // Slack makes links of what only looks like one: typed was the label.
            Some(label) if is_made_of(&url, &label) => words.push_str(&label),
            // The words hide where it leads: both are said.
            Some(label) => {
                words.push_str(&label);
                words.push_str(" (");
                words.push_str(&url);
                words.push(')');
            }
            None => words.push_str(&url),
        }
    }
    false
}

/// Whether Slack made the link of the label by itself.
fn is_made_of(url: &str, label: &str) -> bool {
    let bare = ["https://", "http://", "mailto:", "tel:"].iter().find_map(|scheme| url.strip_prefix(scheme));
    url == label || bare.is_some_and(|bare| bare == label || bare.strip_suffix('/') == Some(label))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> String {
        typed(text, "U0", &|id| (id == "U2").then(|| "boss".to_owned()))
    }

    #[test]
    fn markup_becomes_what_was_typed() {
        for (sent, words) in [
            ("start service b", "start service b"),
            ("<@U0> ping", "@countersign ping"),
            ("<@U0|Some Bot>, ping", "@countersign, ping"),
            ("<@U0>ping", "@countersign ping"),
            ("ask <@U2|Big Boss> or <@U9|boss>", "ask @boss or @U9"),
            ("in <#C1|ops> and <#C2> and <#C3|>", "in #ops and #C2 and #C3"),
            ("<!here> <!channel|channel> <!everyone>", "@here @channel @everyone"),
            ("<!subteam^S1|@support> <!subteam^S2>", "@support @S2"),
            ("<!date^1392734382^{date}|18 February>", "18 February"),
            ("<!new^thing>", "!new^thing"),
            ("start <http://web.io|web.io>", "start web.io"),
            ("<https://a.example/x?y=1&amp;z=2>", "https://a.example/x?y=1&z=2"),
            ("<https://a.example/|a.example>", "a.example"),
            ("<mailto:a@b.example|a@b.example>", "a@b.example"),
            ("<https://evil.example|https://good.example>", "https://good.example (https://evil.example)"),
            ("a &lt;b&gt; &amp; c", "a <b> & c"),
            ("&amp;lt;@U2&amp;gt;", "&lt;@U2&gt;"),
            ("&lt;@U2&gt;", "<@U2>"),
            ("a < b & c", "a < b & c"),
            ("<", "<"),
            ("&", "&"),
            ("&gt; approved", "> approved"),
        ] {
            assert_eq!(read(sent), words, "{sent}");
        }
    }

    #[test]
    fn a_mention_at_the_beginning_is_told() {
        for (text, is) in [
            ("<@U0> ping", true),
            ("  <@U0|x> ping", true),
            ("<@U01> ping", false),
            ("ask <@U0>", false),
            ("@U0 ping", false),
            ("", false),
        ] {
            assert_eq!(begins_with_mention(text, "U0"), is, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_escaped_comes_back(text in "[<>&;@!#|a-z ]{0,60}") {
            let sent = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            prop_assert_eq!(read(&sent), text);
        }

        #[test]
        fn nothing_panics(text: String, marks in "[<>&;@!#|^UC02a-z:/é ]{0,60}") {
            read(&text);
            read(&marks);
        }
    }
}
