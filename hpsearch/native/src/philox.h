/* Philox 4x32-10 as TensorFlow's stateless random operations use it.

   Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", and TensorFlow's
   core/lib/random/philox_random.h and core/kernels/stateless_random_ops.cc. */
#pragma once

#include <stdint.h>
#include <math.h>
#include <string.h>

typedef struct { uint32_t counter[4], key[2]; } Philox;

static inline void philox_block(const Philox *generator, uint64_t skip, uint32_t out[4]) {
    uint32_t c[4], key_0 = generator->key[0], key_1 = generator->key[1];
    memcpy(c, generator->counter, sizeof c);
    const uint64_t low = ((uint64_t)c[1] << 32 | c[0]) + skip;
    /* Carry into the counter's upper half. */
    const uint64_t high = ((uint64_t)c[3] << 32 | c[2]) + (low < skip);
    c[0] = (uint32_t)low, c[1] = (uint32_t)(low >> 32);
    c[2] = (uint32_t)high, c[3] = (uint32_t)(high >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
        const uint32_t c_1 = c[1], c_3 = c[3];
        c[0] = (uint32_t)(b >> 32) ^ c_1 ^ key_0, c[1] = (uint32_t)b;
        c[2] = (uint32_t)(a >> 32) ^ c_3 ^ key_1, c[3] = (uint32_t)a;
        key_0 += 0x9E3779B9u, key_1 += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

/* The generator of `tf.random.stateless_*(seed=[seed_0, seed_1])`. */
static inline Philox philox_of(uint64_t seed_0, uint64_t seed_1) {
    const Philox scramble = {{(uint32_t)seed_0, (uint32_t)(seed_0 >> 32), (uint32_t)seed_1,
                              (uint32_t)(seed_1 >> 32)},
                             {0x3ec8f720u, 0x02461e29u}};
    uint32_t mix[4];
    philox_block(&scramble, 0, mix);
    return (Philox){{0, 0, mix[2], mix[3]}, {mix[0], mix[1]}};
}

/* Turn 23 bits of a random word into a float in [0, 1). */
static inline float unit_float(uint32_t bits) {
    const uint32_t word = (bits & 0x7fffffu) | 0x3f800000u;
    float x;
    memcpy(&x, &word, sizeof x);
    return x - 1.0f;
}

static inline void philox_uniform(uint64_t seed_0, uint64_t seed_1, float *out, size_t count) {
    const Philox generator = philox_of(seed_0, seed_1);
    for (size_t i = 0; i < count; i += 4) {
        uint32_t words[4];
        philox_block(&generator, i / 4, words);
        for (size_t j = 0; j < 4 && i + j < count; j++) out[i + j] = unit_float(words[j]);
    }
}

static inline void box_muller(uint32_t word_0, uint32_t word_1, float out[2]) {
    const float u = unit_float(word_0), radius = sqrtf(-2.0f * logf(u < 1e-7f ? 1e-7f : u));
    const float angle = (float)(2.0f * 3.14159265358979323846 * unit_float(word_1));
    out[0] = sinf(angle) * radius, out[1] = cosf(angle) * radius;
}

static inline void philox_normal(uint64_t seed_0, uint64_t seed_1, float *out, size_t count) {
    const Philox generator = philox_of(seed_0, seed_1);
    for (size_t i = 0; i < count; i += 4) {
        uint32_t words[4];
        float normal[4];
        philox_block(&generator, i / 4, words);
        box_muller(words[0], words[1], normal), box_muller(words[2], words[3], normal + 2);
        for (size_t j = 0; j < 4 && i + j < count; j++) out[i + j] = normal[j];
    }
}

/* Draw within two standard deviations; four numbers take up to 256 blocks of words. */
static inline void philox_truncated(uint64_t seed_0, uint64_t seed_1, float *out, size_t count) {
    const Philox generator = philox_of(seed_0, seed_1);
    for (size_t i = 0; i < count; i += 4) {
        float found[4];
        int n = 0;
        for (uint64_t block = i / 4 * 256; n < 4; block++) {
            uint32_t words[4];
            philox_block(&generator, block, words);
            for (int pair = 0; pair < 4 && n < 4; pair += 2) {
                float normal[2];
                box_muller(words[pair], words[pair + 1], normal);
                for (int j = 0; j < 2 && n < 4; j++) {
                    if (fabsf(normal[j]) < 2.0f) found[n++] = normal[j];
                }
            }
        }
        for (size_t j = 0; j < 4 && i + j < count; j++) out[i + j] = found[j];
    }
}
