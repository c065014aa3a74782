//! The scene, played right: the real program, real processes, a real Postgres, over the public interface.

mod support;

use support::bot::Bot;
use support::world::Catalog;

#[tokio::test]
async fn the_scene() {
    let bot = Bot::start(Catalog::shipped()).await;
    let reply = bot.say("mei", "is service c running").await.done();
    insta::assert_snapshot!(reply.plain(), @"");
    let asked = bot.say("mei", "start service b").await.waiting();
    insta::assert_snapshot!(asked.plain(), @"");
    bot.finish().await;
}
