/* The honest client in C: trains the global adapter on its own shard and hands the result in. */
#include "fedseal.h"

bool policy_run(fs_text *why) {
    fs_context context = fs_context_get();
    fs_dataset shard = fs_shard();
    fs_adapter_result trained = fs_train(fs_global(), shard, fs_train_options_of(context));
    if (trained.failed) {
        *why = trained.as.error.text;
        return false;
    }
    fs_log(FS_TEXT("trained in C"));
    fs_result handed_in = fs_submit(trained.as.value, fs_count(shard));
    if (handed_in.failed) *why = handed_in.error.text;
    return !handed_in.failed;
}
