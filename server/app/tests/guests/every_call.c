/* Makes every call of the header once and looks at the answers. */
#include "fedseal.h"

#define CHECK(what) do { if (!(what)) { *why = FS_TEXT(#what); return false; } } while (0)

bool policy_run(fs_text *why) {
    fs_context c = fs_context_get();
    CHECK(c.client.length == 9 && c.client.at[0] == 'c' && c.round == 1 && c.rounds == 3);
    CHECK(c.steps == 4 && c.batch_size == 4 && c.learning_rate == 1e-3 && c.proximal_mu == 0.0);
    CHECK(c.shard_examples == 8 && c.seed == 1);
    CHECK(fs_attachment().length == 0);

    fs_dataset shard = fs_shard();
    fs_examples_list read = fs_read_examples(shard, 2, 3);
    CHECK(read.length == 3 && read.at[0].prompt.length == sizeof("Write the word three in capitals.") - 1);
    fs_dataset_result own = fs_examples(read);
    CHECK(!own.failed && fs_count(own.as.value) == 3);
    fs_dataset parts[2] = { shard, own.as.value };
    fs_dataset_result all = fs_concat(parts, 2);
    CHECK(!all.failed && fs_count(all.as.value) == 11);
    fs_dataset_result some = fs_take(all.as.value, 1, 4);
    CHECK(!some.failed && fs_count(some.as.value) == 4);
    fs_text prompts[1] = { FS_TEXT("Write the word one in capitals.") };
    fs_texts_result written = fs_generate((fs_texts){ prompts, 1 }, FS_GLOBAL, 4, 0.0);
    CHECK(!written.failed && written.as.value.length == 1);

    fs_doubles_result likely = fs_log_likelihood(read, FS_BASE);
    CHECK(!likely.failed && likely.as.value.length == 3 && likely.as.value.at[2] < 0.0);

    fs_adapter global = fs_global();
    fs_train_options options = fs_train_options_of(c);
    fs_adapter_result trained = fs_train(global, some.as.value, options);
    CHECK(!trained.failed);
    options.steps = 1000;
    fs_adapter_result refused = fs_train(global, shard, options);
    CHECK(refused.failed && refused.as.error.kind == FS_INVALID && refused.as.error.text.length > 0);
    fs_adapter_result half = fs_scale(trained.as.value, 0.5);
    CHECK(!half.failed);
    fs_adapter_result sum = fs_add(half.as.value, 0.5, trained.as.value, 0.5);
    CHECK(!sum.failed);
    uint64_t seed = 7;
    fs_adapter_result noisy = fs_noise(sum.as.value, 1e-4, &seed);
    fs_adapter_result again = fs_noise(noisy.as.value, 1e-4, 0);
    CHECK(!noisy.failed && !again.failed);
    fs_adapter_result clipped = fs_clip(again.as.value, 0.25);
    CHECK(!clipped.failed);
    fs_double_result length = fs_dot(clipped.as.value, clipped.as.value);
    CHECK(!length.failed && length.as.value > 0.0 && length.as.value < 0.0626);
    fs_floats raw = fs_read_raw(clipped.as.value);
    CHECK(raw.length > 100);
    fs_adapter_result back = fs_write_raw(global, raw);
    CHECK(!back.failed);
    CHECK(fs_random_u64() != fs_random_u64());
    fs_drop_adapter(half.as.value);
    fs_drop_dataset(all.as.value);
    fs_log(FS_TEXT("every call answered"));
    fs_result handed_in = fs_submit(back.as.value, 4);
    CHECK(!handed_in.failed);
    return true;
}
