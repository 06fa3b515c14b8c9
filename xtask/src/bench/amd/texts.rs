//! Greetings of the two halves of the set, without common texts.

/// Texts of one half.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts {
    /// Greetings of humans.
    pub(super) humans: &'static [&'static str],
    /// Second utterances of humans who get no answer.
    pub(super) again: &'static [&'static str],
    /// Beginnings of machine messages.
    pub(super) beginnings: &'static [&'static str],
    /// Ends of machine messages.
    pub(super) ends: &'static [&'static str],
    /// Complete messages shorter than the speech threshold, recognised by their beep.
    pub(super) short: &'static [&'static str],
    /// Network announcements after special information tones.
    pub(super) announcements: &'static [&'static str],
}

pub(super) const TRAINING: Texts = Texts {
    humans: &[
        "Hello?",
        "Hello, this is Martin.",
        "Yes?",
        "Hi, Anna speaking.",
        "Good morning.",
        "Miller.",
        "Hello, who is this?",
        "Yeah, hello?",
        "Doctor Brown's office.",
        "Hi there.",
        "Peter Smith, hello.",
        "Good afternoon, sales.",
        "Hey.",
        "Hello, hello?",
        "Speaking.",
        "Johnson and Sons.",
    ],
    again: &["Hello?", "Who is there?", "Yes?", "Can you hear me?"],
    beginnings: &[
        "Hi, you have reached the voicemail of Martin Miller.",
        "Thank you for calling the office of Doctor Brown.",
        "You have reached five five five, one two three four.",
        "Hello, this is Anna. I can't come to the phone right now.",
        "The person you are calling is not available.",
        "Sorry, we missed your call.",
        "Our office is closed at the moment.",
        "Your call has been forwarded to an automatic voice message system.",
        "Hey, it's Peter, I'm probably driving.",
    ],
    ends: &[
        "Please leave a message after the tone.",
        "Leave your name and number, and I will call you back.",
        "At the tone, please record your message. When you are finished, you may hang up.",
        "Please call again on Monday between nine and five.",
        "We will return your call as soon as possible.",
        "Please try again later.",
    ],
    short: &["Please leave a message.", "This is Anna. Leave a message.", "We are not here."],
    announcements: &["The number you have dialed is not in service. Please check the number and dial again."],
};

pub(super) const HELD_OUT: Texts = Texts {
    humans: &[
        "Hello, it's Karen.",
        "Yes, hello?",
        "Hi, who's calling?",
        "Good evening.",
        "Walker residence.",
        "This is David.",
        "Front desk, hi.",
        "Hi?",
        "Hello, Laura Green.",
        "Yep.",
        "Support, good day.",
        "What is it?",
        "City Garage, hello.",
        "Hallo?",
        "Yes, this is Tom.",
        "Who's there?",
    ],
    again: &["Anybody there?", "Hi?", "Hello, hello?", "Is someone there?"],
    beginnings: &[
        "Welcome to the mailbox of Karen Walker.",
        "Hi, this is David, and I'm away from my desk.",
        "We're sorry, nobody is able to take your call at this time.",
        "This is the Green family, and we are out at the moment.",
        "You've called City Garage outside of our business hours.",
        "The subscriber cannot be reached.",
        "Hey there, you know what to do.",
        "The mailbox that you have called belongs to Laura Green.",
    ],
    ends: &[
        "Record your message after the beep.",
        "Tell me who you are, and I'll get back to you soon.",
        "If this is urgent, please call my mobile phone instead.",
        "Just say what you need, and have a wonderful day.",
        "Someone will phone you tomorrow morning.",
    ],
    short: &["I'm out, speak after the beep.", "Karen here. Talk to me.", "Mailbox of David Hill."],
    announcements: &["We're sorry. Your call cannot be completed as dialled."],
};
