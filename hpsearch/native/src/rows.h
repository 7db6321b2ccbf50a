/* Copy from data to batches, and between rows and panels; apply dropout. */
#pragma once

#include <string.h>

#include "network.h"
#include "philox.h"
#include "vector.h"

#if defined(KERNELS_NEON)
static inline unsigned flush_denormals(void) {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | (1ull << 24)));
    return (unsigned)mode;
}
static inline void restore_denormals(unsigned mode) {
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)mode));
}
#define CPU_RELAX() __asm__ volatile("yield")
#else
static inline unsigned flush_denormals(void) { /* FTZ and DAZ, as in TensorFlow's threads */
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040);
    return mode;
}
static inline void restore_denormals(unsigned mode) { _mm_setcsr(mode); }
#define CPU_RELAX() _mm_pause()
#endif

typedef float block_row __attribute__((vector_size(64)));
typedef int32_t block_mask __attribute__((vector_size(64)));

#if defined(__clang__)
#define TRANSPOSE_STAGE(s, LOW, HIGH)                                                          \
    for (int i = 0; i < 16; i++)                                                               \
        if (!(i & s)) {                                                                        \
            const block_row a = x[i], b = x[i + s];                                            \
            x[i] = __builtin_shufflevector(a, b, LOW);                                         \
            x[i + s] = __builtin_shufflevector(a, b, HIGH);                                    \
        }
#else
#define TRANSPOSE_STAGE(s, LOW, HIGH)                                                          \
    UNROLL for (int i = 0; i < 16; i++)                                                        \
        if (!(i & s)) {                                                                        \
            const block_row a = x[i], b = x[i + s];                                            \
            x[i] = __builtin_shuffle(a, b, (block_mask){LOW});                                 \
            x[i + s] = __builtin_shuffle(a, b, (block_mask){HIGH});                            \
        }
#endif
#define LOW_1 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define HIGH_1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define LOW_2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define LOW_4 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define HIGH_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define LOW_8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define HIGH_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31

/* to[c][r] = from[r][c] for 16 rows and columns. */
static void transpose_block(const float *from, long from_row, float *to, long to_row) {
    block_row x[16];
    UNROLL for (int i = 0; i < 16; i++) memcpy(&x[i], from + i * from_row, sizeof x[i]);
    TRANSPOSE_STAGE(8, LOW_8, HIGH_8)
    TRANSPOSE_STAGE(4, LOW_4, HIGH_4)
    TRANSPOSE_STAGE(2, LOW_2, HIGH_2)
    TRANSPOSE_STAGE(1, LOW_1, HIGH_1)
    UNROLL for (int i = 0; i < 16; i++) memcpy(to + i * to_row, &x[i], sizeof x[i]);
}

/* ar[row][unit] = at[panel][unit][row]; both have room for whole blocks of 16. */
static void rows_of_panels(const float *at, long units, long rows, float *ar, long ld) {
    for (long row = 0; row < rows; row += 16) {
        const float *panel = at + row / PANEL * units * PANEL + row % PANEL;
        for (long unit = 0; unit < units; unit += 16) {
            transpose_block(panel + unit * PANEL, PANEL, ar + row * ld + unit, ld);
        }
        /* Clear the numbers that the last block copied from beyond the panel's units. */
        for (long r = row; r < row + 16; r++) {
            for (long unit = units; unit < padded(units, 16); unit++) ar[r * ld + unit] = 0;
        }
    }
}

/* The bins of a number: 0 before the bin, 1 behind it; the outer ones have no end. */
INLINE void bin(float number, const float *restrict shift, const float *restrict scale,
                float *restrict to) {
    float z[BINS];
    for (int b = 0; b < BINS; b++) z[b] = number * scale[b] + shift[b];
    for (int b = 0; b < BINS; b++) to[b] = z[b] < 0.0f ? 0.0f : z[b] > 1.0f ? 1.0f : z[b];
    if (!(to[0] > 0.0f)) to[0] = z[0];
    if (!(to[BINS - 1] < 1.0f)) to[BINS - 1] = z[BINS - 1];
}

static void read_row(const Network *net, const Data *data, long row, float *restrict to) {
    const long n = net->n_raw, binned = net->binned;
    const float *restrict shift = net->shift, *restrict scale = net->scale;
    if (net->row_kind == FLOAT_ROWS) {
        const float *restrict from = (const float *)data->x + row * n;
        for (long k = 0; k < binned; k++, to += BINS) bin(from[k], shift, scale, to);
        memcpy(to, from + binned, sizeof(float) * (n - binned));
        return;
    }
    const uint8_t *restrict from = (const uint8_t *)data->x + row * n;
    if (net->row_kind == SCALED_BYTES) {
        for (long k = 0; k < n; k++) to[k] = (float)from[k] * scale[k] + shift[k];
    } else {
        for (long k = 0; k < n; k++) to[k] = ((float)from[k] - shift[k]) / scale[k];
    }
}

/* Prefetch the next batch's rows, which are scattered in memory. */
static void expect_rows(const Network *net, const Data *data, const int32_t *order, long rows) {
    const size_t size = row_size(net);
    for (long r = 0; r < rows; r++) {
        const char *row = (const char *)data->x + order[r] * size;
        for (size_t byte = 0; byte < size; byte += 64) __builtin_prefetch(row + byte, 0, 1);
    }
}

/* Copy 16 rows of n numbers into a panel. */
static void panel_of_rows(const float *from, long ld, long n, float *panel) {
    long k = 0;
    for (; k + 16 <= n; k += 16) transpose_block(from + k, ld, panel + k * PANEL, PANEL);
    for (; k < n; k++) {
        for (int r = 0; r < 16; r++) panel[k * PANEL + r] = from[r * ld + k];
    }
}

/* Copy the batch by row and into panels; pad the last 16 rows with zeros. */
static void take_rows(Network *net, const Data *data, const int32_t *order, long rows) {
    const long n = net->n_features, ld = net->ld_in;
    for (long r = 0; r < rows; r++) read_row(net, data, order[r], net->xr + r * ld);
    for (long r = rows; r < padded(rows, 16); r++) memset(net->xr + r * ld, 0, sizeof(float) * n);
    for (long row = 0; row < rows; row += 16) {
        panel_of_rows(net->xr + row * ld, ld, n, net->xt + row / PANEL * n * PANEL + row % PANEL);
    }
}

/* Copy the batch's targets in the same way. */
static void take_targets(Network *net, const float *y, const int32_t *order, long rows) {
    const long n = net->outputs;
    for (long row = 0; row < rows; row += 16) {
        for (long r = 0; r < 16; r++) {
            if (row + r < rows) memcpy(net->yr + r * n, y + order[row + r] * n, sizeof(float) * n);
            else memset(net->yr + r * n, 0, sizeof(float) * n);
        }
        panel_of_rows(net->yr, n, n, net->yt + row / PANEL * n * PANEL + row % PANEL);
    }
}

/* Copy the last layer's panels into rows of outputs. */
static void give_outputs(const Network *net, long rows, float *outputs) {
    const long n = net->outputs, ld = padded(n, 16);
    const Layer *last = &net->layer[net->layers - 1];
    rows_of_panels(last->at, n, rows, last->ar, ld);
    for (long r = 0; r < rows; r++) memcpy(outputs + r * n, last->ar + r * ld, sizeof(float) * n);
}

/* Apply inverted dropout to outputs and to the factors of their gradient, with the masks of Keras'
   Dropout layer, which calls `tf.nn.experimental.stateless_dropout` with the seed
   `[mask_seed, step]`. */
static void drop(Network *net, Layer *layer, float *factors, long rows) {
    const long units = layer->out, whole = padded(units, 16), count = rows * units;
    const float rate = layer->dropout, kept = layer->kept;
    /* Borrow delta[0], which is unused until the backward pass. */
    float *words = net->delta[0], mask[16 * 16], block[16 * 16];
    philox_uniform(layer->mask_seed, (uint64_t)net->iterations, words, (size_t)count);
    for (long row = 0; row < rows; row += 16) {
        float *at = layer->at + row / PANEL * units * PANEL + row % PANEL;
        float *ft = factors + (at - layer->at);
        for (long unit = 0; unit < whole; unit += 16) {
            for (long r = 0; r < 16; r++) {
                for (long u = 0; u < 16; u++) {
                    const int inside = row + r < rows && unit + u < units;
                    const float word = inside ? words[(row + r) * units + unit + u] : 0.0f;
                    mask[r * 16 + u] = word >= rate ? kept : 0.0f;
                }
            }
            transpose_block(mask, 16, block, 16);
            for (long u = 0; u < MIN_LONG(units - unit, 16); u++) {
                for (long r = 0; r < 16; r += LANES) {
                    const vf factor = LOAD(block + u * 16 + r);
                    const long i = (unit + u) * PANEL + r;
                    STORE(at + i, MUL(LOAD(at + i), factor));
                    STORE(ft + i, MUL(LOAD(ft + i), factor));
                }
            }
        }
    }
}
