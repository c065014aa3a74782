//! The app's manifest: what Slack is asked for, and why.
//!
//! What lives here: one list of rights and one of events, each with its reason, and the text that is made of them. What
//! does not: anything that is not needed by what the program does today.

use std::fmt::Write as _;

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
    asked("commands", "take /countersign"),
    asked(
        "channels:history",
        "hear public channels that it was invited to, and look for its own message after a crash",
    ),
    asked("groups:history", "the same in private channels"),
    asked("im:history", "the same in direct messages to it"),
    asked("channels:read", "be told who joins or leaves a public channel, and when it is renamed or archived"),
    asked("groups:read", "the same in private channels"),
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

/// The manifest for Socket Mode, as YAML.
pub fn yaml() -> String {
    let mut text = String::from(
        "# The app of countersign, for Slack's \"Create an app\", \"From a manifest\".\n\
         # It needs two tokens besides: an app-level token with the scope connections:write (\"Basic Information\"), which\n\
         # opens the socket, and the bot's token (\"Install App\"), which has the scopes below and no others.\n\
         display_information:\n  \
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
    line(format_args!("    bot_events:"));
    let width = EVENTS.iter().map(|(event, _)| event.name.len()).max().unwrap_or_default();
    for (Asked { name, why }, _) in EVENTS {
        line(format_args!("      - {name:<width$}  # {why}"));
    }
    line(format_args!("  # Buttons, and the window that asks why a request is denied."));
    line(format_args!("  interactivity:"));
    line(format_args!("    is_enabled: true"));
    line(format_args!("  # Events come through a socket that the bot opens: nothing has to reach it from outside."));
    line(format_args!("  socket_mode_enabled: true"));
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
        serde_yaml::from_str(&yaml()).expect("YAML")
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
    fn every_event_has_its_right_and_every_right_its_use() {
        let scopes: BTreeSet<&str> = SCOPES.iter().map(|scope| scope.name).collect();
        assert_eq!(scopes.len(), SCOPES.len(), "each once");
        let by_events: BTreeSet<&str> = EVENTS.iter().map(|(_, scope)| *scope).collect();
        assert!(by_events.is_subset(&scopes), "{by_events:?}");
        // What is not there for an event is there for what the bot says and does, or for its command.
        assert_eq!(
            scopes.difference(&by_events).copied().collect::<Vec<_>>(),
            ["channels:manage", "chat:write", "commands", "groups:write", "pins:write"]
        );
        let listed = |path: &str| read().pointer(path).and_then(Value::as_array).map_or(0, Vec::len);
        assert_eq!(listed("/oauth_config/scopes/bot"), SCOPES.len());
        assert_eq!(listed("/settings/event_subscriptions/bot_events"), EVENTS.len());
    }

    #[test]
    fn whoever_reads_it_learns_why() {
        insta::assert_snapshot!(yaml(), @r##"
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
              - commands          # take /countersign
              - channels:history  # hear public channels that it was invited to, and look for its own message after a crash
              - groups:history    # the same in private channels
              - im:history        # the same in direct messages to it
              - channels:read     # be told who joins or leaves a public channel, and when it is renamed or archived
              - groups:read       # the same in private channels
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
