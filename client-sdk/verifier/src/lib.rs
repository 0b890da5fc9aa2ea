//! Checks of [`fedseal_client_sdk::checks`] for a browser: a question as JSON in, an answer as JSON out.
//!
//! The module imports nothing. Who calls it: [`fedseal_question`] for a place to write the question to,
//! then [`fedseal_answer`], whose result is where the answer lies, and [`fedseal_answer_length`].

use std::cell::RefCell;

thread_local! {
    static QUESTION: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static ANSWER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Gives the place of a question of so many bytes.
#[unsafe(no_mangle)]
pub extern "C" fn fedseal_question(length: usize) -> *mut u8 {
    QUESTION.with_borrow_mut(|question| {
        question.clear();
        question.resize(length, 0);
        question.as_mut_ptr()
    })
}

/// Answers the question that was written; gives the answer's place, which holds until the next question.
#[unsafe(no_mangle)]
pub extern "C" fn fedseal_answer() -> *const u8 {
    let question = QUESTION.take();
    let answer = fedseal_client_sdk::checks::answer(&question);
    ANSWER.with_borrow_mut(|last| {
        *last = answer;
        last.as_ptr()
    })
}

/// Bytes of the last answer.
#[unsafe(no_mangle)]
pub extern "C" fn fedseal_answer_length() -> usize {
    ANSWER.with_borrow(Vec::len)
}
