//! The client library that an adapter is made of, against the workspace: it understands every answer and every payload,
//! and what it sends is found right.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use slack_morphism::errors::SlackClientError;
use slack_morphism::prelude::*;

use super::slack::{BOT_TOKEN, Fault, Room, Slack};

type Client = SlackClient<SlackClientHyperConnector<HttpConnector>>;

fn client(slack: &Slack) -> Arc<Client> {
    let connector = SlackClientHyperConnector::with_connector(HttpConnector::new());
    Arc::new(SlackClient::new(connector.with_slack_api_url(&slack.api())))
}

async fn workspace() -> (Slack, String) {
    let slack = Slack::start().await;
    slack.people(&["mei", "ana", "bo"]);
    let incidents = slack.channel("incidents", Room::Public, &["mei", "ana", "countersign"]);
    (slack, incidents)
}

fn words(text: &str) -> SlackMessageContent {
    SlackMessageContent::new().with_text(text.to_owned())
}

fn question() -> SlackMessageContent {
    let blocks: Vec<SlackBlock> = slack_blocks![
        some_into(SlackSectionBlock::new().with_text(md!("*restart b*"))),
        some_into(SlackActionsBlock::new(slack_blocks![
            some_into(
                SlackBlockButtonElement::new(pt!("Approve"))
                    .with_action_id("approve".into())
                    .with_value("R1".into())
                    .with_style(SlackBlockButtonStyle::Primary)
            ),
            some_into(SlackBlockButtonElement::new(pt!("Deny")).with_action_id("deny".into()).with_value("R1".into()))
        ]))
    ];
    let metadata = SlackMessageMetadata {
        event_type: "countersign".to_owned(),
        event_payload: Some([("position".to_owned(), "7".to_owned())].into()),
    };
    words("may I?").with_blocks(blocks).with_metadata(metadata)
}

#[tokio::test]
async fn the_client_understands_every_answer_about_messages() {
    let (slack, incidents) = workspace().await;
    slack.say("mei", &incidents, "hello @countersign, see https://example.org/");
    let (client, token) = (client(&slack), SlackApiToken::new(BOT_TOKEN.into()));
    let session = client.open_session(&token);
    let channel: SlackChannelId = incidents.clone().into();
    assert_eq!(session.auth_test().await.expect("who").user_id.0, "U0BOT");
    let asked = SlackApiChatPostMessageRequest::new(channel.clone(), question());
    let root = session.chat_post_message(&asked).await.expect("posted");
    assert!(root.message.content.metadata.is_some());
    let reply = SlackApiChatPostMessageRequest::new(channel.clone(), words("step 1")).with_thread_ts(root.ts.clone());
    let reply = session.chat_post_message(&reply).await.expect("a reply");
    let edit = SlackApiChatUpdateRequest::new(channel.clone(), words("step 1: done"), reply.ts.clone());
    session.chat_update(&edit).await.expect("edited");
    let whisper = SlackApiChatPostEphemeralRequest::new(channel.clone(), "U0MEI".into(), words("not you"));
    session.chat_post_ephemeral(&whisper).await.expect("whispered");
    let history = SlackApiConversationsHistoryRequest::new().with_channel(channel.clone());
    let history = session.conversations_history(&history.with_include_all_metadata(true)).await.expect("history");
    assert!(history.messages[0].content.metadata.is_some());
    let replies = SlackApiConversationsRepliesRequest::new(channel.clone(), root.ts.clone());
    let replies = session.conversations_replies(&replies).await.expect("replies");
    assert_eq!(replies.messages.len(), 2);
    session.pins_add(&SlackApiPinsAddRequest::new(channel.clone(), root.ts)).await.expect("pinned");
    session.chat_delete(&SlackApiChatDeleteRequest::new(channel.clone(), reply.ts)).await.expect("deleted");
    let asked = SlackApiFilesGetUploadUrlExternalRequest::new("out.txt".to_owned(), 5);
    let upload = session.get_upload_url_external(&asked).await.expect("a URL");
    let content = SlackApiFilesUploadViaUrlRequest::new(upload.upload_url, b"hello".to_vec(), "text/plain".to_owned());
    session.files_upload_via_url(&content).await.expect("uploaded");
    let files = vec![SlackApiFilesComplete::new(upload.file_id)];
    let complete = SlackApiFilesCompleteUploadExternalRequest::new(files).with_channel_id(channel);
    session.files_complete_upload_external(&complete).await.expect("shared");
    slack.finish();
}

#[tokio::test]
async fn the_client_understands_every_answer_about_channels_and_people() {
    let (slack, incidents) = workspace().await;
    let group = slack.group("oncall", &["mei"]);
    let (client, token) = (client(&slack), SlackApiToken::new(BOT_TOKEN.into()));
    let session = client.open_session(&token);
    let info = SlackApiConversationsInfoRequest::new(incidents.into()).with_include_num_members(true);
    assert_eq!(session.conversations_info(&info).await.expect("info").channel.num_members, Some(3));
    let mei = SlackApiUsersInfoRequest::new("U0MEI".into());
    assert_eq!(session.users_info(&mei).await.expect("mei").user.name.as_deref(), Some("mei"));
    let members = SlackApiUserGroupsUsersListRequest::new(group.into());
    assert_eq!(session.usergroups_users_list(&members).await.expect("members").users.len(), 1);
    let open = SlackApiConversationsOpenRequest::new().with_users(vec!["U0MEI".into()]);
    session.conversations_open(&open).await.expect("a conversation");
    session.conversations_open_full(&open.with_return_im(true)).await.expect("all of it");
    let make = SlackApiConversationsCreateRequest::new("inc-1".to_owned());
    let made = session.conversations_create(&make).await.expect("a channel").channel.id;
    let invite = SlackApiConversationsInviteRequest::new(made.clone(), vec!["U0MEI".into(), "U0ANA".into()]);
    session.conversations_invite(&invite).await.expect("invited");
    let topic = SlackApiConversationsSetTopicRequest::new(made.clone(), "b is down".to_owned());
    session.conversations_set_topic(&topic).await.expect("a topic");
    session.conversations_archive(&SlackApiConversationsArchiveRequest::new(made)).await.expect("archived");
    slack.finish();
}

#[tokio::test]
async fn the_client_understands_what_goes_wrong() {
    let (slack, _) = workspace().await;
    let (client, token) = (client(&slack), SlackApiToken::new(BOT_TOKEN.into()));
    let session = client.open_session(&token);
    slack.next("auth.test", Fault::Limited(Duration::from_secs(7)));
    let limited = session.auth_test().await.expect_err("a limit");
    assert!(
        matches!(&limited, SlackClientError::RateLimitError(limit) if limit.retry_after == Some(Duration::from_secs(7))),
        "{limited:?}"
    );
    slack.next("auth.test", Fault::LostAfter);
    let lost = session.auth_test().await.expect_err("a cut");
    assert!(matches!(lost, SlackClientError::HttpProtocolError(_)), "{lost:?}");
    slack.next("auth.test", Fault::Error("account_inactive"));
    let refused = session.auth_test().await.expect_err("a refusal");
    assert!(matches!(&refused, SlackClientError::ApiError(error) if error.code == "account_inactive"), "{refused:?}");
    slack.finish();
}
