/* The world fedseal:policy@0.1.0 (wit/policy.wit) for guests in C, with or without a C library.
 *
 * What the calls mean stands in policy.wit; here is only how they look. Memory that the host hands over
 * (texts, lists) comes from `cabi_realloc` below: the C library's where one is linked, so that `free` takes
 * it back; else pages that nobody else has, which are never freed. Include this in one file and write
 * `bool policy_run(fs_text *why)` in it.
 *
 *     fedseal policy build DIR        # compiles with zig, makes and signs the component
 *
 * By hand: with wasi-libc
 *     zig cc -target wasm32-wasi -mexec-model=reactor -Os policy.c -o policy.core.wasm
 * and without a library
 *     zig cc -target wasm32-freestanding -nostdlib -Os -Wl,--no-entry policy.c -o policy.core.wasm
 *
 * The layouts are those of the component model's canonical ABI. `fedseal policy build` checks every
 * import against the world, so a wrong signature does not get past it.
 */
#ifndef FEDSEAL_H
#define FEDSEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__wasi__) && __has_include(<stdio.h>)
#define FS_LIBC
#include <stdio.h>
#endif

/* Texts are UTF-8 with a length, not terminated. */
typedef struct { const char *at; size_t length; } fs_text;
typedef struct { fs_text prompt, response; } fs_example;
typedef struct { const fs_example *at; size_t length; } fs_examples_list;
typedef struct { const fs_text *at; size_t length; } fs_texts;
typedef struct { const float *at; size_t length; } fs_floats;
typedef struct { const double *at; size_t length; } fs_doubles;

/* Handles to what the host holds. */
typedef struct { int32_t handle; } fs_dataset;
typedef struct { int32_t handle; } fs_adapter;

typedef struct {
    fs_text client;
    uint32_t round, rounds;
    uint64_t seed;
    uint32_t steps, batch_size;
    double learning_rate, proximal_mu;
    uint32_t shard_examples;
} fs_context;

typedef struct {
    uint32_t steps, batch_size;
    double learning_rate, proximal_mu;
} fs_train_options;

typedef enum { FS_BASE = 0, FS_GLOBAL = 1 } fs_model;

/* Why the host refused a call; a policy may go on after it. */
typedef enum { FS_INVALID = 0, FS_NOT_FINITE = 1 } fs_error_kind;
typedef struct { uint8_t kind; fs_text text; } fs_error;

/* Results: `failed` says which half of the union holds. */
typedef struct { uint8_t failed; union { fs_dataset value; fs_error error; } as; } fs_dataset_result;
typedef struct { uint8_t failed; union { fs_adapter value; fs_error error; } as; } fs_adapter_result;
typedef struct { uint8_t failed; union { fs_texts value; fs_error error; } as; } fs_texts_result;
typedef struct { uint8_t failed; union { fs_doubles value; fs_error error; } as; } fs_doubles_result;
typedef struct { uint8_t failed; union { double value; fs_error error; } as; } fs_double_result;
typedef struct { uint8_t failed; fs_error error; } fs_result;

#define FS_IMPORT(name) __attribute__((import_module("fedseal:policy/host@0.1.0"), import_name(name)))

FS_IMPORT("context") void fs__context(fs_context *out);
FS_IMPORT("shard") int32_t fs__shard(void);
FS_IMPORT("attachment") void fs__attachment(fs_examples_list *out);
FS_IMPORT("examples") void fs__examples(const fs_example *at, size_t length, fs_dataset_result *out);
FS_IMPORT("count") uint32_t fs__count(int32_t data);
FS_IMPORT("read-examples") void fs__read_examples(int32_t data, uint32_t offset, uint32_t count, fs_examples_list *out);
FS_IMPORT("concat") void fs__concat(const fs_dataset *at, size_t length, fs_dataset_result *out);
FS_IMPORT("take") void fs__take(int32_t data, uint32_t offset, uint32_t count, fs_dataset_result *out);
FS_IMPORT("generate") void fs__generate(const fs_text *at, size_t length, int32_t model, uint32_t max_new_tokens, double temperature, fs_texts_result *out);
FS_IMPORT("log-likelihood") void fs__log_likelihood(const fs_example *at, size_t length, int32_t model, fs_doubles_result *out);
FS_IMPORT("global") int32_t fs__global(void);
FS_IMPORT("train") void fs__train(int32_t start, int32_t data, uint32_t steps, uint32_t batch_size, double learning_rate, double proximal_mu, fs_adapter_result *out);
FS_IMPORT("train-controlled") void fs__train_controlled(int32_t start, int32_t data, uint32_t steps, uint32_t batch_size, double learning_rate, double proximal_mu, fs_adapter_result *out);
FS_IMPORT("scale") void fs__scale(int32_t source, double factor, fs_adapter_result *out);
FS_IMPORT("add") void fs__add(int32_t left, double left_factor, int32_t right, double right_factor, fs_adapter_result *out);
FS_IMPORT("noise") void fs__noise(int32_t source, double std, int32_t has_seed, uint64_t seed, fs_adapter_result *out);
FS_IMPORT("clip") void fs__clip(int32_t source, double norm, fs_adapter_result *out);
FS_IMPORT("dot") void fs__dot(int32_t left, int32_t right, fs_double_result *out);
FS_IMPORT("read-raw") void fs__read_raw(int32_t source, fs_floats *out);
FS_IMPORT("write-raw") void fs__write_raw(int32_t like, const float *at, size_t length, fs_adapter_result *out);
FS_IMPORT("random-u64") uint64_t fs__random_u64(void);
FS_IMPORT("log") void fs__log(const char *at, size_t length);
FS_IMPORT("submit") void fs__submit(int32_t source, uint32_t examples, fs_result *out);
FS_IMPORT("[resource-drop]dataset") void fs__drop_dataset(int32_t handle);
FS_IMPORT("[resource-drop]adapter") void fs__drop_adapter(int32_t handle);

#define FS_CALL static inline __attribute__((unused))

/* A C string literal as a text. */
#define FS_TEXT(literal) ((fs_text){ (literal), sizeof(literal) - 1 })

FS_CALL fs_context fs_context_get(void) { fs_context out; fs__context(&out); return out; }
FS_CALL fs_dataset fs_shard(void) { return (fs_dataset){ fs__shard() }; }
FS_CALL fs_examples_list fs_attachment(void) { fs_examples_list out; fs__attachment(&out); return out; }
FS_CALL fs_dataset_result fs_examples(fs_examples_list items) { fs_dataset_result out; fs__examples(items.at, items.length, &out); return out; }
FS_CALL uint32_t fs_count(fs_dataset data) { return fs__count(data.handle); }
FS_CALL fs_examples_list fs_read_examples(fs_dataset data, uint32_t offset, uint32_t count) { fs_examples_list out; fs__read_examples(data.handle, offset, count, &out); return out; }
FS_CALL fs_dataset_result fs_concat(const fs_dataset *parts, size_t length) { fs_dataset_result out; fs__concat(parts, length, &out); return out; }
FS_CALL fs_dataset_result fs_take(fs_dataset data, uint32_t offset, uint32_t count) { fs_dataset_result out; fs__take(data.handle, offset, count, &out); return out; }
FS_CALL fs_texts_result fs_generate(fs_texts prompts, fs_model model, uint32_t max_new_tokens, double temperature) { fs_texts_result out; fs__generate(prompts.at, prompts.length, model, max_new_tokens, temperature, &out); return out; }
FS_CALL fs_doubles_result fs_log_likelihood(fs_examples_list items, fs_model model) { fs_doubles_result out; fs__log_likelihood(items.at, items.length, model, &out); return out; }
FS_CALL fs_adapter fs_global(void) { return (fs_adapter){ fs__global() }; }
FS_CALL fs_adapter_result fs_train(fs_adapter start, fs_dataset data, fs_train_options o) { fs_adapter_result out; fs__train(start.handle, data.handle, o.steps, o.batch_size, o.learning_rate, o.proximal_mu, &out); return out; }
FS_CALL fs_adapter_result fs_train_controlled(fs_adapter start, fs_dataset data, fs_train_options o) { fs_adapter_result out; fs__train_controlled(start.handle, data.handle, o.steps, o.batch_size, o.learning_rate, o.proximal_mu, &out); return out; }
FS_CALL fs_adapter_result fs_scale(fs_adapter source, double factor) { fs_adapter_result out; fs__scale(source.handle, factor, &out); return out; }
FS_CALL fs_adapter_result fs_add(fs_adapter left, double left_factor, fs_adapter right, double right_factor) { fs_adapter_result out; fs__add(left.handle, left_factor, right.handle, right_factor, &out); return out; }
/* Without a seed (null) the host takes one from the run's random numbers. */
FS_CALL fs_adapter_result fs_noise(fs_adapter source, double std, const uint64_t *seed) { fs_adapter_result out; fs__noise(source.handle, std, seed != 0, seed ? *seed : 0, &out); return out; }
FS_CALL fs_adapter_result fs_clip(fs_adapter source, double norm) { fs_adapter_result out; fs__clip(source.handle, norm, &out); return out; }
FS_CALL fs_double_result fs_dot(fs_adapter left, fs_adapter right) { fs_double_result out; fs__dot(left.handle, right.handle, &out); return out; }
FS_CALL fs_floats fs_read_raw(fs_adapter source) { fs_floats out; fs__read_raw(source.handle, &out); return out; }
FS_CALL fs_adapter_result fs_write_raw(fs_adapter like, fs_floats values) { fs_adapter_result out; fs__write_raw(like.handle, values.at, values.length, &out); return out; }
FS_CALL uint64_t fs_random_u64(void) { return fs__random_u64(); }
FS_CALL void fs_log(fs_text line) { fs__log(line.at, line.length); }
FS_CALL fs_result fs_submit(fs_adapter source, uint32_t examples) { fs_result out; fs__submit(source.handle, examples, &out); return out; }
FS_CALL void fs_drop_dataset(fs_dataset data) { fs__drop_dataset(data.handle); }
FS_CALL void fs_drop_adapter(fs_adapter adapter) { fs__drop_adapter(adapter.handle); }

/* The round's own training options. */
FS_CALL fs_train_options fs_train_options_of(fs_context c) {
    return (fs_train_options){ c.steps, c.batch_size, c.learning_rate, c.proximal_mu };
}

/* The C library's allocator, where it is linked: a null address where it is not. */
__attribute__((weak)) void *realloc(void *old, size_t size);

/* Memory for the host's answers. There is one owner of each byte: either the C library, or pages that were
 * grown here. `__heap_base` and what others have grown are left alone. Weak, for programs with a
 * `cabi_realloc` of their own. */
__attribute__((weak, export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    static uintptr_t next = 0, end = 0;
    if (size == 0) return (void *)align;
    /* Every allocator aligns to 8 bytes, the most that the canonical ABI asks for. */
    if (realloc) {
        void *at = realloc(old_size ? old : 0, size);
        if (!at || ((uintptr_t)at & (align - 1))) __builtin_trap();
        return at;
    }
    uintptr_t at = (next + align - 1) & ~(uintptr_t)(align - 1);
    if (at < next || at > end || size > end - at) {
        /* Others may have grown the memory meanwhile: new pages are taken from where they really begin. */
        size_t pages = (size >> 16) + 1;
        size_t page = __builtin_wasm_memory_grow(0, pages);
        if (page == (size_t)-1) __builtin_trap();
        at = (uintptr_t)page << 16;
        end = at + ((uintptr_t)pages << 16);
        /* The last page of 32 bits ends where they do. */
        if (end == 0) end = UINTPTR_MAX;
    }
    for (size_t i = 0; i < old_size && i < size; i++) ((unsigned char *)at)[i] = ((unsigned char *)old)[i];
    next = at + size;
    return (void *)at;
}

/* The policy: true when it went well; else `why` is recorded as the reason that there is no update. */
bool policy_run(fs_text *why);

__attribute__((export_name("run"))) void *fs__run(void) {
    static struct { uint8_t failed; fs_text why; } out;
    out.why = FS_TEXT("");
#ifdef FS_LIBC
    /* Each line is a line of the log at once: a policy that breaks off has told what it had to. */
    setvbuf(stdout, 0, _IOLBF, 0);
#endif
    out.failed = !policy_run(&out.why);
#ifdef FS_LIBC
    /* A component's `run` does not leave by `exit`, so nobody else writes the last line without an end. */
    fflush(0);
#endif
    return &out;
}

#endif
