//! One call: the caller's leg, the attempts to reach the other side, and what happens to them.
//!
//! *Rerouting*: the caller has its answer, and the agent that had it is lost or sends it on, or it was answered before anybody
//! was there (`answer = "at_once"`): the search goes on while the caller hears hold audio; or the agent has it still, and stays
//! until the target answers (`consult`); or an application speaks to it (`program/`). *Leaving*: no target is left, and the caller hears a goodbye.
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | caller's CANCEL | attempts withdrawn, call ends | of a re-INVITE: withdrawn on the other leg | it crossed our 2xx: BYE | as before | – |
//! | ACK to our 2xx | – | a late offer's answer taken | the same; the search that waited for it begins | a late offer's answer taken | – |
//! | PRACK | an offer's answer taken; with a further offer as an UPDATE | an offer's answer taken; with a further offer 488 | the same | the same | – |
//! | PRACK missing | attempts withdrawn, call ends | call ends | the same | the same | – |
//! | ACK missing | – | BYE on every leg | the same | the same | – |
//! | BYE | of the caller: as CANCEL | BYE on the other legs, call ends | of the caller: call ends | of the caller: call ends | leg gone |
//! | re-INVITE | 491 | relayed to the other leg, or answered; by the edge itself where an agent is the other side, or a hold ends here | answered by the edge itself; 491 while a far end rings, save to a refresh | 491, save to a refresh | 481 |
//! | UPDATE | answered; with an offer 500 or 491, or where the first one is answered reliably it goes on by UPDATE, or the edge answers | answered; with an offer as a re-INVITE, and UPDATE where the other leg takes it | the same as a re-INVITE | answered; with an offer 491 | 481 |
//! | INFO | 480 | goes on to the other leg; 415 where that is an agent | 480 | 480 | 481 |
//! | the next key may be told by INFO | – | INFO | the same | – | – |
//! | INFO answered | – | the same answer on the other leg; BYE where it is gone | the same answer | the same answer | – |
//! | REFER | 491 | the other side waits, the search begins (transfer); after a change that is under way; refused where it may not | 491 | 491 | 481 |
//! | the call whose leg this one waits for is over | – | as it was, with a NOTIFY to the party that asked | – | – | – |
//! | NOTIFY of a REFER that went on | 481 | goes on to the party that transfers | 481; of the program's own REFER the program is told | 481 | 481 |
//! | a REFER or NOTIFY that went on is answered | – | the same answer on the other leg | the same answer | – | – |
//! | our NOTIFY is answered | the next one | the next one | the next one | the next one | the next one |
//! | the party that transferred the call has not hung up | – | BYE | BYE | BYE | BYE |
//! | 100 | the target lives | – | the target lives | – | – |
//! | 18x | passed to the caller, early media wired, of one target where several ring | – | early media wired | – | – |
//! | 199 | its early dialog is over: another one's media is wired | – | the same | – | – |
//! | 2xx to an INVITE | ACK, caller answered, media wired, others that ring withdrawn | ACK and BYE (a fork, or it crossed our CANCEL) | ACK, media wired | ACK and BYE | ACK and BYE |
//! | final non-2xx | next peer, where a 3xx sends us; with no other that rings, next target, or caller refused | a withdrawn leg is gone | next peer, next target, or goodbye | a withdrawn leg is gone | a withdrawn leg is gone |
//! | INVITE without answer | next peer | a withdrawn leg is gone | next peer | a withdrawn leg is gone | a withdrawn leg is gone |
//! | re-INVITE or UPDATE answered | answered on the other leg, media changed | the same | ACK only | ACK only | ACK only |
//! | re-INVITE or UPDATE without answer | 500 on the other leg | BYE on every leg | – | – | – |
//! | a re-INVITE for an UPDATE takes too long | – | withdrawn, 504 to the UPDATE | – | – | – |
//! | our refresh answered | – | its session goes on, or BYE on every leg | the same | the same | ACK only |
//! | a session is due | – | refreshed; BYE on every leg where nobody did | the same | the same | – |
//! | the wait after a glare is over | – | our re-INVITE again | – | – | – |
//! | caller on hold asked, or answers | – | asked again later; BYE where it is gone | – | – | – |
//! | a withdrawn leg's last answer never comes | leg gone | leg gone | leg gone | leg gone | leg gone |
//! | our BYE is through | withdrawn leg gone | leg gone | leg gone | leg gone | leg gone |
//! | name looked up | first address tried | – | first address tried | – | – |
//! | silence, ring time-out | next peer, next target | – | next peer, next target | – | – |
//! | its turn at a limit of the target's trunk, or waited long enough | first peer, next target | – | first peer, next target | – | – |
//! | its turn at an agent, or waited long enough | its socket asked for, next target | – | its socket asked for, next target | – | – |
//! | the targets have had their time together | what is tried is withdrawn, the last target is next | – | – | – | – |
//! | a wait before an agent's next stream is over | its socket asked for | – | its socket asked for | – | – |
//! | the agent has had the caller for its `max_call` | – | goodbye | goodbye | – | – |
//! | agent's socket open | caller answered, media wired | a listener hears | media wired; a listener hears | – | – |
//! | agent lost | a new stream, next target; a listener is left out | rerouting; a listener is left out | a new stream, next target, or what rings beside it rings on; a listener is left out | a listener is left out | – |
//! | agent closed with 1000 | a listener is left out | call ends, or rerouting (`on_close`) | what rings beside it rings on; a listener is left out | a listener is left out | – |
//! | agent's wish | noted | call ends, or rerouting (transfer) | of one that has the caller still as when answered; else noted | noted | – |
//! | agent's note | noted | noted | noted | noted | – |
//! | a party that is asked presses a key, hangs up, has had its time or is known to be a machine | – | – | media wired; next target, or the caller is back with its agent or party | – | – |
//! | goodbye heard, or overdue | – | – | – | BYE | – |
//! | ports not bound | other ports drawn | call ends | other ports drawn; of the caller: call ends | call ends | – |
//! | ports bound | a caller that waits for them is told of them | – | – | – | – |
//! | latched | noted | the same | the same | the same | – |
//! | early media has gone to an address that is not proven for long enough | withheld | – | – | – | – |
//! | a side is not heard after the answer | – | noted | – | – | – |
//! | no media | – | BYE on every leg | BYE | – | – |
//! | media session lost | caller refused | BYE on every leg | BYE | BYE | – |
//! | the shell answers an application's question | the program goes on | of a called party's document: it goes on | the program goes on | – | – |
//! | the program's own time has come | the program goes on | the same | the program goes on | – | – |
//! | a digit for the program | – | of a called party's document, or `hangupOnStar` | the program goes on | – | – |
//! | a dialled party has been connected for as long as it may | – | BYE to it, the program goes on | – | – | – |
//! | a dialled agent has not taken the caller in time | next turn of the Dial, or the program goes on | – | the same | – | – |
//! | a requested call has lasted for as long as it may | – | BYE on every leg | BYE | BYE | – |
//! | news of the conference that the caller is in | – | – | the program goes on, or the caller hears something else | – | – |
//! | news of the queue that the caller is in or has dialled; its time has passed | – | – | the program goes on, or the caller hears something else | – | – |
//! | operator, drain | caller refused, attempts withdrawn | BYE on every leg | BYE, attempts withdrawn | BYE | – |

pub(crate) mod legs;
pub(crate) mod media;
pub(crate) mod negotiation;
pub(crate) mod parts;
pub(crate) mod program;
pub(crate) mod recorders;
pub(crate) mod search;
pub(crate) mod shared;
pub(crate) mod story;
pub(crate) mod transfer;
pub(crate) mod words;
