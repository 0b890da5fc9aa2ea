//! Conversion between text and token ids.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde_json::Value;
use tokenizers::{
    AddedToken, TokenizerBuilder,
    decoders::byte_level::ByteLevel as ByteLevelDecoder,
    models::bpe::{BPE, BpeTrainer},
    normalizers::NormalizerWrapper,
    pre_tokenizers::{
        PreTokenizerWrapper, byte_level::ByteLevel, digits::Digits, sequence::Sequence,
    },
    processors::PostProcessorWrapper,
};

use fedseal_adapter::Source;

use crate::TuningError;

fn bad(error: impl Into<Source>) -> TuningError {
    TuningError::Tokenizer(error.into())
}

/// Turns panics of the library into errors. It panics on some broken files and texts (for example a
/// decoder that is not an object), and input from outside must end in an error. Our state does not
/// change while the library runs, and everything it built is dropped.
fn guarded<T>(work: impl FnOnce() -> Result<T, TuningError>) -> Result<T, TuningError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(bad(
            "the tokenizers library failed; tokenizer.json is broken",
        ))
    })
}

/// A tokenizer in the format of Hugging Face's `tokenizer.json`.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    vocab: usize,
    /// Ids of tokens that are matched in a text as they are: special ones, and marks of turns.
    added: BTreeSet<u32>,
    /// Special tokens' texts by the names that chat templates have for them, where a file says them.
    names: Option<BTreeMap<String, String>>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab", &self.vocab)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`TuningError::Tokenizer`] when the file is not one, or when an id is not below `vocab`.
    /// Special tokens may be beyond it (Gemma 3's text models have one for images); a text that
    /// uses one is an error.
    pub fn from_json(bytes: &[u8], vocab: usize) -> Result<Self, TuningError> {
        guarded(|| Self::read(bytes, vocab))
    }

    fn read(bytes: &[u8], vocab: usize) -> Result<Self, TuningError> {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(bad)?;
        // Files may ask for padding and truncation; both would change the training text.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(bad)?;
        let added = inner.get_added_tokens_decoder();
        let special: BTreeSet<u32> = added
            .iter()
            .filter(|(_, token)| token.special)
            .map(|(id, _)| *id)
            .collect();
        if let Some((token, id)) = inner
            .get_vocab(true)
            .into_iter()
            .find(|(_, id)| *id as usize >= vocab && !special.contains(id))
        {
            return Err(bad(format!(
                "token {token:?} has id {id}, the model has {vocab}"
            )));
        }
        Ok(Self {
            inner,
            vocab,
            added: added.into_keys().collect(),
            names: None,
        })
    }

    /// Takes the names of special tokens from a `tokenizer_config.json`: each text, or object with a text,
    /// whose key ends in `_token`, as transformers gives them to templates.
    pub(crate) fn with_names(mut self, config: &Value) -> Self {
        let fields = config.as_object().into_iter().flatten();
        let tokens = fields.filter(|(name, _)| name.ends_with("_token"));
        let text = |value: &Value| {
            value
                .get("content")
                .unwrap_or(value)
                .as_str()
                .map(str::to_owned)
        };
        let names = tokens.filter_map(|(name, value)| Some((name.clone(), text(value)?)));
        self.names = (!config.is_null()).then(|| names.collect());
        self
    }

    /// Special tokens' texts by name (`bos_token`); none where no file says them.
    pub(crate) fn names(&self) -> Option<&BTreeMap<String, String>> {
        self.names.as_ref()
    }

    /// Returns the ids of a text; texts of special tokens become those tokens. `special` adds the
    /// tokens of the file's post-processor (usually a first token).
    ///
    /// # Errors
    /// [`TuningError::Tokenizer`] when the tokenizer fails.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, TuningError> {
        let encoding = guarded(|| self.inner.encode_fast(text, special).map_err(bad))?;
        self.known(encoding.get_ids())
    }

    /// Returns the ids of a text as [`encode`](Self::encode) does, each with its bytes of the text.
    pub(crate) fn encode_places(
        &self,
        text: &str,
        special: bool,
    ) -> Result<(Vec<u32>, Vec<Range<usize>>), TuningError> {
        let encoding = guarded(|| self.inner.encode(text, special).map_err(bad))?;
        let ids = self.known(encoding.get_ids())?;
        // A byte-level tokenizer does not count blanks to the places of its tokens: each begins where the
        // one before it ends.
        let mut before = 0;
        let places = encoding.get_offsets().iter().map(|&(start, end)| {
            let place = start.min(before.min(end))..end;
            before = before.max(end);
            place
        });
        Ok((ids, places.collect()))
    }

    /// Whether a token is matched in a text as it is.
    pub(crate) fn is_added(&self, id: u32) -> bool {
        self.added.contains(&id)
    }

    fn known(&self, ids: &[u32]) -> Result<Vec<u32>, TuningError> {
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.vocab) {
            return Err(bad(format!(
                "token {id} in a text; the model has {}",
                self.vocab
            )));
        }
        Ok(ids.to_vec())
    }

    /// Returns the text of these ids, without special tokens.
    ///
    /// # Errors
    /// [`TuningError::Tokenizer`] when the tokenizer fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TuningError> {
        guarded(|| self.inner.decode(ids, true).map_err(bad))
    }

    /// Returns the id of the token with exactly this text.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        let id = self.inner.token_to_id(token);
        id.filter(|id| (*id as usize) < self.vocab)
    }

    /// Returns the text of a token, in the alphabet of the tokenizer.
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Number of ids of the model that the tokenizer belongs to; every id is below it.
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// Returns the `tokenizer.json` of this tokenizer.
    ///
    /// # Errors
    /// [`TuningError::Tokenizer`] when it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, TuningError> {
        Ok(self.inner.to_string(false).map_err(bad)?.into_bytes())
    }

    /// Trains a byte-level BPE tokenizer of at most `vocab` ids on texts; the `special` tokens come
    /// first, as ids 0, 1 and so on. The same texts give the same tokenizer.
    ///
    /// # Errors
    /// [`TuningError::Tokenizer`] when training fails or `vocab` has no room for all 256 bytes.
    pub fn train_bpe<'a>(
        texts: impl Iterator<Item = &'a str> + Send,
        vocab: usize,
        special: &[&str],
    ) -> Result<Self, TuningError> {
        if vocab < 256 + special.len() {
            return Err(bad(format!("{vocab} ids have no room for 256 bytes")));
        }
        let mut trainer = BpeTrainer::builder()
            .vocab_size(vocab)
            .min_frequency(2)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(
                special
                    .iter()
                    .map(|text| AddedToken::from(*text, true))
                    .collect(),
            )
            .build();
        let mut tokenizer = TokenizerBuilder::<
            BPE,
            NormalizerWrapper,
            PreTokenizerWrapper,
            PostProcessorWrapper,
            ByteLevelDecoder,
        >::new()
        .with_model(BPE::default())
        .with_pre_tokenizer(Some(PreTokenizerWrapper::Sequence(Sequence::new(vec![
            PreTokenizerWrapper::Digits(Digits::new(true)),
            PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true)),
        ]))))
        .with_normalizer(None)
        .with_post_processor(None)
        .with_decoder(Some(ByteLevelDecoder::default()))
        .build()
        .map_err(bad)?;
        tokenizer.train(&mut trainer, texts).map_err(bad)?;
        let json = tokenizer.to_string(false).map_err(bad)?;
        Self::from_json(json.as_bytes(), vocab)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn training_is_repeatable_and_round_trips() {
        let texts = ["the cat sat on the mat", "the dog sat on the log 12"];
        let special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
        let train = || Tokenizer::train_bpe(texts.iter().copied(), 300, &special).unwrap();
        let tokenizer = train();
        assert_eq!(tokenizer.to_json().unwrap(), train().to_json().unwrap());
        assert_eq!(tokenizer.token_id("<|im_end|>"), Some(2));
        let ids = tokenizer.encode("the cat 12 ü<|im_end|>", false).unwrap();
        assert_eq!(ids.last(), Some(&2));
        assert_eq!(tokenizer.decode(&ids).unwrap(), "the cat 12 ü");
        let again = Tokenizer::from_json(&tokenizer.to_json().unwrap(), 300).unwrap();
        assert_eq!(
            again.encode("the log", false).unwrap(),
            tokenizer.encode("the log", false).unwrap()
        );
    }

    #[test]
    fn names_of_special_tokens_are_texts_or_objects() {
        let tokenizer = || Tokenizer::train_bpe(["a b"].into_iter(), 300, &["<e>"]).unwrap();
        let config = json!({"eos_token": {"content": "</s>", "lstrip": false}, "pad_token": null,
            "add_bos_token": true, "image_token": "<image>", "chat_template": "x"});
        let named = tokenizer().with_names(&config);
        let names: Vec<_> = named.names().unwrap().iter().collect();
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let expected = [pair("eos_token", "</s>"), pair("image_token", "<image>")];
        assert!(
            names
                .into_iter()
                .eq(expected.iter().map(|(name, text)| (name, text)))
        );
        assert!(tokenizer().with_names(&Value::Null).names().is_none());
    }

    #[test]
    fn ids_beyond_the_model_are_refused() {
        let tokenizer = Tokenizer::train_bpe(["a b"].into_iter(), 300, &["<e>"]).unwrap();
        assert!(Tokenizer::from_json(&tokenizer.to_json().unwrap(), 100).is_err());
        assert!(Tokenizer::from_json(b"{}", 100).is_err());
        // A special token beyond the model is harmless until a text has it.
        let mut json: Value = serde_json::from_slice(&tokenizer.to_json().unwrap()).unwrap();
        let mut token = json["added_tokens"][0].clone();
        (token["id"], token["content"]) = (json!(900), json!("<image>"));
        json["added_tokens"].as_array_mut().unwrap().push(token);
        let vocab = json["model"]["vocab"].as_object_mut().unwrap();
        vocab.insert("<image>".to_owned(), json!(900));
        let wide = |json: &Value| Tokenizer::from_json(json.to_string().as_bytes(), 300);
        let tokenizer = wide(&json).unwrap();
        assert_eq!(tokenizer.token_id("<image>"), None);
        assert!(tokenizer.encode("a b", false).is_ok());
        assert!(tokenizer.encode("a <image>", false).is_err());
        let last = json["added_tokens"].as_array().unwrap().len() - 1;
        json["added_tokens"][last]["special"] = json!(false);
        assert!(wide(&json).is_err(), "a common token beyond the model");
    }
}
