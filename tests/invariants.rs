//! Attacks on the invariants: each test tries to break one, by chat, by a race, by a lost lease, or by writing the
//! database as no chat could. The tests are named after what they attack; `script/mutations` takes out the code that
//! keeps an invariant and expects them to fail.

#[path = "invariants/house.rs"]
mod house;
mod support;

#[path = "invariants/access.rs"]
mod access;
#[path = "invariants/anew.rs"]
mod anew;
#[path = "invariants/break_glass.rs"]
mod break_glass;
#[path = "invariants/corners.rs"]
mod corners;
#[path = "invariants/denied.rs"]
mod denied;
#[path = "invariants/duties.rs"]
mod duties;
#[path = "invariants/freeing.rs"]
mod freeing;
#[path = "invariants/i01.rs"]
mod i01;
#[path = "invariants/i02.rs"]
mod i02;
#[path = "invariants/i03.rs"]
mod i03;
#[path = "invariants/i04.rs"]
mod i04;
#[path = "invariants/i05.rs"]
mod i05;
#[path = "invariants/i06.rs"]
mod i06;
#[path = "invariants/i07.rs"]
mod i07;
#[path = "invariants/i08.rs"]
mod i08;
#[path = "invariants/i09.rs"]
mod i09;
#[path = "invariants/i10.rs"]
mod i10;
#[path = "invariants/i11.rs"]
mod i11;
#[path = "invariants/i13.rs"]
mod i13;
#[path = "invariants/later.rs"]
mod later;
#[path = "invariants/peers.rs"]
mod peers;
#[path = "invariants/races.rs"]
mod races;
#[path = "invariants/repeat.rs"]
mod repeat;
#[path = "invariants/retry.rs"]
mod retry;
#[path = "invariants/signatures.rs"]
mod signatures;
#[path = "invariants/unagreed.rs"]
mod unagreed;
#[path = "invariants/unasked.rs"]
mod unasked;
#[path = "invariants/waking.rs"]
mod waking;
