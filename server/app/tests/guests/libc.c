/* Uses the C library beside the host's answers: both take memory, and each line that is printed is a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fedseal.h"

enum { BLOCKS = 64, BYTES = 3000 };

bool policy_run(fs_text *why) {
    unsigned char *block[BLOCKS];
    fs_dataset shard = fs_shard();
    printf("first line\n");
    for (int i = 0; i < BLOCKS; i++) {
        block[i] = malloc(BYTES);
        memset(block[i], i + 1, BYTES);
        fs_examples_list read = fs_read_examples(shard, 0, 8);
        fs_floats raw = fs_read_raw(fs_global());
        if (read.length != 8 || raw.length == 0) return false;
        /* Memory of the host's answers is the library's own. */
        if (i % 2) free((void *)raw.at);
    }
    for (int i = 0; i < BLOCKS; i++)
        for (int j = 0; j < BYTES; j++)
            if (block[i][j] != i + 1) {
                *why = FS_TEXT("an answer of the host overwrote a block of malloc");
                return false;
            }
    printf("second line\n");
    fprintf(stderr, "to standard error\n");
    fs_adapter_result trained = fs_train(fs_global(), shard, fs_train_options_of(fs_context_get()));
    if (trained.failed) {
        *why = trained.as.error.text;
        return false;
    }
    printf("third line without an end");
    return !fs_submit(trained.as.value, fs_count(shard)).failed;
}
