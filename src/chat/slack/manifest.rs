//! The app's manifest: what Slack is asked for, and why.
//!
//! What lives here: one list of rights, one of events and one of methods, each with its reason or its right, and the text
//! that is made of them. What does not: anything that is not needed by what the program does today: the tests below read
//! the sources, and hold that no right is without its use and no call without its right.

use std::fmt::Write as _;

use super::requests;

/// Something that Slack is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Its name, as Slack has it.
    pub name: &'static str,
    /// Why it is needed.
    pub why: &'static str,
}

const fn asked(name: &'static str, why: &'static str) -> Asked {
    Asked { name, why }
}

/// The slash command.
pub const COMMAND: &str = "/countersign";

/// The rights of the bot's token.
pub const SCOPES: &[Asked] = &[
    asked("chat:write", "answer, show requests and progress, and remove its own doubles"),
    asked("files:write", "put an answer that is too long for a room into a file"),
    asked("commands", "take /countersign"),
    asked(
        "channels:history",
        "hear public channels that it was invited to, and look for its own message after a crash",
    ),
    asked("groups:history", "the same in private channels"),
    asked("im:history", "the same in direct messages to it"),
    asked(
        "im:write",
        "show a request to those who want to be asked directly, and answer a command where it may not speak",
    ),
    asked("channels:read", "be told who joins or leaves a public channel, and when it is renamed or archived"),
    asked("groups:read", "the same in private channels"),
    asked("usergroups:read", "see who is in the user groups that people.yaml names, and in no other"),
    asked("users:read", "let `countersign doctor` find accounts of people.yaml that are switched off or an app's"),
    asked("channels:manage", "make a public channel for an incident, set its topic, invite people and archive it"),
    asked("groups:write", "the same with a private channel"),
    asked("pins:write", "pin how an incident stands in its channel"),
];

/// The events that it subscribes to, each with the right that Slack wants for it.
pub const EVENTS: &[(Asked, &str)] = &[
    (asked("message.channels", "lines, edits and deletions in public channels"), "channels:history"),
    (asked("message.groups", "the same in private channels"), "groups:history"),
    (asked("message.im", "the same in direct messages to it"), "im:history"),
    (asked("member_joined_channel", "who joins, the bot itself too"), "channels:read"),
    (asked("member_left_channel", "who leaves, the bot itself too"), "channels:read"),
    (asked("channel_rename", "what a public channel is called now"), "channels:read"),
    (asked("channel_archive", "that a public channel takes no more messages"), "channels:read"),
    (asked("channel_unarchive", "that it does again"), "channels:read"),
    (asked("group_rename", "what a private channel is called now"), "groups:read"),
    (asked("group_archive", "that a private channel takes no more messages"), "groups:read"),
    (asked("group_unarchive", "that it does again"), "groups:read"),
];

/// The methods that are called, each with the rights of which it needs one (which, the kind of the channel decides); none:
/// any token may. `apps.connections.open` alone is called with the app's own token, which needs `connections:write`.
pub const METHODS: &[(&str, &[&str])] = &[
    ("auth.test", &[]),
    ("apps.connections.open", &[]),
    ("chat.postMessage", &["chat:write"]),
    ("chat.postEphemeral", &["chat:write"]),
    ("chat.update", &["chat:write"]),
    ("chat.delete", &["chat:write"]),
    ("conversations.history", &["channels:history", "groups:history", "im:history"]),
    ("conversations.replies", &["channels:history", "groups:history", "im:history"]),
    ("conversations.info", &["channels:read", "groups:read"]),
    ("conversations.open", &["im:write"]),
    ("conversations.create", &["channels:manage", "groups:write"]),
    ("conversations.setPurpose", &["channels:manage", "groups:write"]),
    ("conversations.setTopic", &["channels:manage", "groups:write"]),
    ("conversations.invite", &["channels:manage", "groups:write"]),
    ("conversations.archive", &["channels:manage", "groups:write"]),
    ("pins.add", &["pins:write"]),
    ("users.conversations", &["channels:read", "groups:read"]),
    ("files.getUploadURLExternal", &["files:write"]),
    ("files.completeUploadExternal", &["files:write"]),
    ("usergroups.users.list", &["usergroups:read"]),
    ("users.info", &["users:read"]),
    ("views.open", &[]),
];

/// How Slack tells the app what is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Through a socket that the bot opens (Socket Mode).
    Socket,
    /// By requests to an address that Slack can reach (Events API over HTTP).
    Requests(Url),
}

/// Where Slack is to call: an `https` address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(String);

/// An address that Slack would not call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write where Slack reaches the bot, such as https://bot.example.org: https, and no query")]
pub struct UrlError;

impl std::str::FromStr for Url {
    type Err = UrlError;

    /// Without a path it is that of the bot's listener, [`requests::PATH`]; with one it is that of whatever stands before it.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let mut url = reqwest::Url::parse(text.trim()).map_err(|_| UrlError)?;
        let plain = url.query().is_none() && url.fragment().is_none();
        let bare = url.username().is_empty() && url.password().is_none();
        if url.scheme() != "https" || !url.has_host() || !plain || !bare {
            return Err(UrlError);
        }
        if url.path() == "/" {
            url.set_path(requests::PATH);
        }
        Ok(Self(url.to_string()))
    }
}

/// The manifest, as YAML.
pub fn yaml(form: &Form) -> String {
    let secrets = match form {
        Form::Socket => {
            "# It needs two tokens besides: an app-level token with the scope connections:write (\"Basic Information\"), which\n\
             # opens the socket, and the bot's token (\"Install App\"), which has the scopes below and no others.\n"
        }
        Form::Requests(_) => {
            "# It needs two secrets besides: the signing secret (\"Basic Information\"), by which the bot knows Slack, and the\n\
             # bot's token (\"Install App\"), which has the scopes below and no others.\n"
        }
    };
    let mut text = String::from("# The app of countersign, for Slack's \"Create an app\", \"From a manifest\".\n");
    text.push_str(secrets);
    text.push_str(
        "display_information:\n  \
           name: countersign\n  \
           description: Runbooks that start when somebody else has countersigned them.\n\
         features:\n  \
           bot_user:\n    \
             display_name: countersign\n    \
             # A green dot would say nothing about whether it listens.\n    \
             always_online: false\n  \
           app_home:\n    \
             home_tab_enabled: false\n    \
             # Direct messages to it, with a line to write in.\n    \
             messages_tab_enabled: true\n    \
             messages_tab_read_only_enabled: false\n  \
           slash_commands:\n",
    );
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = text.write_fmt(words);
        text.push('\n');
    };
    line(format_args!("    - command: {COMMAND}"));
    if let Form::Requests(Url(url)) = form {
        line(format_args!("      url: {url}"));
    }
    line(format_args!("      description: Ask the bot something, where it does not listen to every line"));
    line(format_args!("      usage_hint: help"));
    line(format_args!(
        "      # People and channels are handed over by id: names can be changed by whoever bears them."
    ));
    line(format_args!("      should_escape: true"));
    line(format_args!("oauth_config:"));
    line(format_args!("  scopes:"));
    line(format_args!("    bot:"));
    let width = SCOPES.iter().map(|scope| scope.name.len()).max().unwrap_or_default();
    for Asked { name, why } in SCOPES {
        line(format_args!("      - {name:<width$}  # {why}"));
    }
    line(format_args!("settings:"));
    line(format_args!("  event_subscriptions:"));
    if let Form::Requests(Url(url)) = form {
        line(format_args!("    # Slack asks there once whether it is the app's; the bot has to run by then."));
        line(format_args!("    request_url: {url}"));
    }
    line(format_args!("    bot_events:"));
    let width = EVENTS.iter().map(|(event, _)| event.name.len()).max().unwrap_or_default();
    for (Asked { name, why }, _) in EVENTS {
        line(format_args!("      - {name:<width$}  # {why}"));
    }
    line(format_args!("  # Buttons, and the window that asks why a request is denied."));
    line(format_args!("  interactivity:"));
    line(format_args!("    is_enabled: true"));
    match form {
        Form::Socket => {
            line(format_args!(
                "  # Events come through a socket that the bot opens: nothing has to reach it from outside."
            ));
            line(format_args!("  socket_mode_enabled: true"));
        }
        Form::Requests(Url(url)) => {
            line(format_args!("    request_url: {url}"));
            line(format_args!("  socket_mode_enabled: false"));
        }
    }
    line(format_args!("  org_deploy_enabled: false"));
    line(format_args!("  token_rotation_enabled: false"));
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn read() -> Value {
        serde_yaml::from_str(&yaml(&Form::Socket)).expect("YAML")
    }

    fn by_requests(url: &str) -> Value {
        let form = Form::Requests(url.parse().expect(url));
        serde_yaml::from_str(&yaml(&form)).expect("YAML")
    }

    #[test]
    fn it_is_yaml_that_slack_takes() {
        let manifest = read();
        // Slack's limits: name 35, bot's name 80, description 140, usage hint 1,000, command 32.
        let fits = |path: &str, most: usize| {
            let text = manifest.pointer(path).and_then(Value::as_str).expect(path);
            assert!(!text.is_empty() && text.chars().count() <= most, "{path}");
        };
        fits("/display_information/name", 35);
        fits("/display_information/description", 140);
        fits("/features/bot_user/display_name", 80);
        fits("/features/slash_commands/0/command", 32);
        fits("/features/slash_commands/0/description", 2_000);
        assert_eq!(manifest.pointer("/settings/socket_mode_enabled"), Some(&Value::Bool(true)));
        assert_eq!(manifest.pointer("/settings/interactivity/is_enabled"), Some(&Value::Bool(true)));
        assert_eq!(manifest.pointer("/features/slash_commands/0/should_escape"), Some(&Value::Bool(true)));
        assert_eq!(manifest.pointer("/features/app_home/messages_tab_read_only_enabled"), Some(&Value::Bool(false)));
    }

    #[test]
    fn every_event_and_method_has_its_right_and_every_right_its_use() {
        let scopes: BTreeSet<&str> = SCOPES.iter().map(|scope| scope.name).collect();
        assert_eq!(scopes.len(), SCOPES.len(), "each once");
        assert!(SCOPES.iter().all(|scope| !scope.why.is_empty()), "each with its reason");
        let by_events = EVENTS.iter().map(|(_, scope)| *scope);
        let by_methods = METHODS.iter().flat_map(|(_, scopes)| *scopes).copied();
        // The slash command is neither.
        let needed: BTreeSet<&str> = by_events.chain(by_methods).chain(["commands"]).collect();
        assert_eq!(scopes, needed);
        let listed = |path: &str| read().pointer(path).and_then(Value::as_array).map_or(0, Vec::len);
        assert_eq!(listed("/oauth_config/scopes/bot"), SCOPES.len());
        assert_eq!(listed("/settings/event_subscriptions/bot_events"), EVENTS.len());
    }

    /// Every text between quotes in the sources of this folder that has the shape of a method's name, outside of tests.
    fn called() -> BTreeSet<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/chat/slack");
        let mut called = BTreeSet::new();
        for entry in std::fs::read_dir(folder).expect("the folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if !path.is_file() || name == "manifest.rs" {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source");
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            called.extend(code.split('"').filter(|text| is_method(text)).map(str::to_owned));
        }
        called
    }

    fn is_method(text: &str) -> bool {
        let families = [
            "apps",
            "auth",
            "bookmarks",
            "bots",
            "chat",
            "conversations",
            "files",
            "pins",
            "reactions",
            "team",
            "usergroups",
            "users",
            "views",
        ];
        let mut parts = text.split('.');
        parts.next().is_some_and(|family| families.contains(&family))
            && text.contains('.')
            && parts.all(|part| !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphabetic()))
    }

    #[test]
    fn no_call_is_without_its_right() {
        for (text, is) in [("chat.postMessage", true), ("usergroups.users.list", true), ("chat", false), ("a.b", false)]
        {
            assert_eq!(is_method(text), is, "{text}");
        }
        let listed: BTreeSet<String> = METHODS.iter().map(|(method, _)| (*method).to_owned()).collect();
        assert_eq!(listed.len(), METHODS.len(), "each once");
        assert_eq!(called(), listed);
    }

    #[test]
    fn by_requests_slack_calls_one_address_for_everything() {
        let manifest = by_requests("https://bot.example.org");
        let at = |path: &str| manifest.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        for path in [
            "/settings/event_subscriptions/request_url",
            "/settings/interactivity/request_url",
            "/features/slash_commands/0/url",
        ] {
            assert_eq!(at(path), "https://bot.example.org/slack/events", "{path}");
        }
        assert_eq!(manifest.pointer("/settings/socket_mode_enabled"), Some(&Value::Bool(false)));
        let socket = read();
        for same in ["/oauth_config", "/display_information", "/settings/event_subscriptions/bot_events"] {
            assert_eq!(manifest.pointer(same), socket.pointer(same), "{same}");
        }
        assert!(socket.pointer("/features/slash_commands/0/url").is_none());
        let behind = by_requests("https://example.org/hooks/countersign");
        let path = "/settings/interactivity/request_url";
        assert_eq!(behind.pointer(path).and_then(Value::as_str), Some("https://example.org/hooks/countersign"));
        for wrong in
            ["http://bot.example.org", "bot.example.org", "https://a@b.org", "https://a.org/?x=1", "https://a.org/#x"]
        {
            assert_eq!(wrong.parse::<Url>(), Err(UrlError), "{wrong}");
        }
    }

    #[test]
    fn whoever_reads_it_learns_why() {
        insta::assert_snapshot!(yaml(&Form::Socket), @r##"
        # The app of countersign, for Slack's "Create an app", "From a manifest".
        # It needs two tokens besides: an app-level token with the scope connections:write ("Basic Information"), which
        # opens the socket, and the bot's token ("Install App"), which has the scopes below and no others.
        display_information:
          name: countersign
          description: Runbooks that start when somebody else has countersigned them.
        features:
          bot_user:
            display_name: countersign
            # A green dot would say nothing about whether it listens.
            always_online: false
          app_home:
            home_tab_enabled: false
            # Direct messages to it, with a line to write in.
            messages_tab_enabled: true
            messages_tab_read_only_enabled: false
          slash_commands:
            - command: /countersign
              description: Ask the bot something, where it does not listen to every line
              usage_hint: help
              # People and channels are handed over by id: names can be changed by whoever bears them.
              should_escape: true
        oauth_config:
          scopes:
            bot:
              - chat:write        # answer, show requests and progress, and remove its own doubles
              - files:write       # put an answer that is too long for a room into a file
              - commands          # take /countersign
              - channels:history  # hear public channels that it was invited to, and look for its own message after a crash
              - groups:history    # the same in private channels
              - im:history        # the same in direct messages to it
              - im:write          # show a request to those who want to be asked directly, and answer a command where it may not speak
              - channels:read     # be told who joins or leaves a public channel, and when it is renamed or archived
              - groups:read       # the same in private channels
              - usergroups:read   # see who is in the user groups that people.yaml names, and in no other
              - users:read        # let `countersign doctor` find accounts of people.yaml that are switched off or an app's
              - channels:manage   # make a public channel for an incident, set its topic, invite people and archive it
              - groups:write      # the same with a private channel
              - pins:write        # pin how an incident stands in its channel
        settings:
          event_subscriptions:
            bot_events:
              - message.channels       # lines, edits and deletions in public channels
              - message.groups         # the same in private channels
              - message.im             # the same in direct messages to it
              - member_joined_channel  # who joins, the bot itself too
              - member_left_channel    # who leaves, the bot itself too
              - channel_rename         # what a public channel is called now
              - channel_archive        # that a public channel takes no more messages
              - channel_unarchive      # that it does again
              - group_rename           # what a private channel is called now
              - group_archive          # that a private channel takes no more messages
              - group_unarchive        # that it does again
          # Buttons, and the window that asks why a request is denied.
          interactivity:
            is_enabled: true
          # Events come through a socket that the bot opens: nothing has to reach it from outside.
          socket_mode_enabled: true
          org_deploy_enabled: false
          token_rotation_enabled: false
        "##);
    }
}
