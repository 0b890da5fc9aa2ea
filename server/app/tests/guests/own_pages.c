/* Grows its memory itself, as an allocator of its own would, and uses what lies behind its data. */
#include "fedseal.h"

extern unsigned char __heap_base;

bool policy_run(fs_text *why) {
    unsigned char *own = (unsigned char *)(__builtin_wasm_memory_grow(0, 2) << 16);
    unsigned char *behind = &__heap_base;
    size_t rest = 65536 - ((uintptr_t)behind & 65535);
    for (size_t i = 0; i < 131072; i++) own[i] = 7;
    for (size_t i = 0; i < rest; i++) behind[i] = 9;
    fs_dataset shard = fs_shard();
    for (int i = 0; i < 2000; i++)
        if (fs_read_examples(shard, 0, 8).length != 8) return false;
    for (size_t i = 0; i < 131072; i++)
        if (own[i] != 7) {
            *why = FS_TEXT("an answer of the host lies in pages that the policy has grown");
            return false;
        }
    for (size_t i = 0; i < rest; i++)
        if (behind[i] != 9) {
            *why = FS_TEXT("an answer of the host lies behind the policy's data");
            return false;
        }
    return !fs_submit(fs_global(), 1).failed;
}
