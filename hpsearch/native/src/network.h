/* A dense network in training; the module owns its data and the kernels work on it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Columns of a panel. Activations are transposed, `[panel][unit][PANEL rows of the batch]`, so
   that products run along the batch without a remainder. */
#define PANEL 32
#define MAX_LAYERS 64
#define MAX_THREADS 64
/* Numbers in place of one that has bins; see hpsearch/models/embedding.py. */
#define BINS 16
/* The fewest of a product for a thread, and of an epoch: to hand out work, and to start a thread,
   take a tenth of their time. Tests make them smaller. */
#ifndef THREAD_MULTIPLICATIONS
#define THREAD_MULTIPLICATIONS 5e5
#define START_MULTIPLICATIONS 1e7
#endif

/* The kinds of everything that has several. Python has each as a constant of the module. */
#define ACTIVATION_KINDS(K) \
    K(LINEAR) K(RELU) K(RELU6) K(LEAKY_RELU) K(SIGMOID) K(TANH) K(ELU) K(SELU) K(SOFTPLUS) K(SILU) \
    K(SOFTSIGN) K(EXPONENTIAL) K(HARD_SIGMOID) K(HARD_SILU) K(HARD_TANH) K(GELU) K(MISH)
#define OPTIMIZER_KINDS(K) \
    K(SGD) K(SGD_MOMENTUM) K(SGD_NESTEROV) K(ADAM) K(RMSPROP) K(RMSPROP_MOMENTUM) K(ADAGRAD)
#define LOSS_KINDS(K) \
    K(SOFTMAX_CROSSENTROPY) K(SIGMOID_CROSSENTROPY) K(SQUARED_ERROR) K(ABSOLUTE_ERROR) K(HUBER)
#define ROW_FORMATS(K) K(FLOAT_ROWS) K(SCALED_BYTES) K(STANDARDISED_BYTES)
/* Additions to a hidden layer's product and activation. A normalisation comes between them, or
   after the activation (BATCH_NORM_BEHIND). */
#define BLOCK_KINDS(K) K(DENSE) K(BATCH_NORM) K(LAYER_NORM) K(RESIDUAL) K(BATCH_NORM_BEHIND)
#define PART_KINDS(K) \
    K(KERNEL) K(BIAS) K(GAMMA) K(BETA) K(PROJECTION) K(MOVING_MEAN) K(MOVING_VARIANCE)
#define DISTRIBUTION_KINDS(K) K(UNIFORM) K(NORMAL) K(TRUNCATED)
#define ENUMERATED(name) name,
enum activation { ACTIVATION_KINDS(ENUMERATED) ACTIVATIONS };
enum optimizer { OPTIMIZER_KINDS(ENUMERATED) OPTIMIZERS };
enum loss { LOSS_KINDS(ENUMERATED) LOSSES };
enum rows { ROW_FORMATS(ENUMERATED) ROW_KINDS };
enum block { BLOCK_KINDS(ENUMERATED) BLOCKS };
enum part { PART_KINDS(ENUMERATED) PARTS };
enum distribution { DISTRIBUTION_KINDS(ENUMERATED) DISTRIBUTIONS };

/* Numbers of one update; `rate` and `alpha` change from step to step. */
typedef struct {
    int kind;
    float rate, decay, l2_twice;
    float momentum;          /* of sgd and rmsprop */
    float rho, keep_rho;     /* rmsprop: rho and 1 - rho */
    float beta_1, beta_2, learn_1, learn_2; /* adam: learn = 1 - beta */
    float alpha;             /* adam: the corrected rate */
    float epsilon;
} Update;

/* A trained array and the optimizer's arrays for it. */
typedef struct { float *value, *slot[2]; } Array;

typedef struct {
    int in, out, block, activation;
    unsigned parts;          /* one bit for each part present */
    long ld;                 /* floats from one unit's weights to the next's */
    Array part[PARTS];       /* matrices are [out][ld], the transpose of Keras' kernel; else [out];
                                parts that the layer lacks are NULL */
    float l2_twice;          /* of its matrices */
    float keep, learn, epsilon; /* batch normalisation: momentum, 1 - momentum, epsilon */
    float dropout, kept;     /* the rate, or 0; the factor of kept outputs, 1 / (1 - rate) */
    uint32_t mask_seed;      /* first word of the masks' seed; the second counts the steps */
    float *at, *ft;          /* outputs and derivatives, transposed panels [out][PANEL] */
    float *mask;             /* dropout's factors, if a normalisation follows the activation */
    float *ar;               /* outputs by row, [rows][ld of the next layer] */
    float *normal, *scale;   /* normalised sums in panels; 1 / deviation, by unit or by row */
} Layer;

typedef struct {
    int layers, batch, capacity; /* capacity: rows that the buffers hold */
    int threads;                 /* that share the products of a step */
    int loss, row_kind, n_features, outputs;
    float huber;                 /* the error above which Huber's loss is linear */
    int binned, n_raw;           /* numbers of a row in memory: the first, which have bins; all */
    const float *shift, *scale;  /* per feature: byte * scale + shift, or (byte - shift) / scale;
                                    per bin: number * scale + shift */
    const float *unit;           /* regression: the target's own units, per output */
    Update update;
    int64_t iterations;
    long ld_in;
    float *xr, *xt;              /* the batch by row and transposed */
    float *yr, *yt;              /* its targets, if they are numbers */
    float *delta[3];             /* gradients by outputs or sums, transposed panels */
    float *scratch;              /* panels, too */
    float *rows;                 /* per row of the batch: scratch */
    float *units[3];             /* gradients of one number a unit: gamma, beta, bias */
    Layer layer[MAX_LAYERS];
} Network;

typedef struct {
    const void *x;
    const void *y;
    const int32_t *order;    /* NULL: rows in their order */
    const float *weights;    /* of the rows in the loss; NULL: 1 */
    float *outputs;          /* NULL, or filled with the outputs in the order of the rows seen */
    long rows;
} Data;

typedef struct { double loss, metric; } Sums;

typedef struct {
    const char *name;
    Sums (*train)(Network *, const Data *);
    Sums (*evaluate)(Network *, const Data *);
    void (*activate)(int kind, const float *z, float *a, float *slope, long n);
} Kernels;

extern const Kernels kernels_avx512, kernels_avx2, kernels_neon;

#define MIN_LONG(a, b) ((a) < (b) ? (a) : (b))

static inline int is_batch_norm(const Layer *layer) {
    return layer->block == BATCH_NORM || layer->block == BATCH_NORM_BEHIND;
}

static inline int is_normed(const Layer *layer) {
    return is_batch_norm(layer) || layer->block == LAYER_NORM;
}

/* Check if a loss and its metric are in the targets' own units. */
static inline int has_units(const Network *net) {
    return net->loss != SOFTMAX_CROSSENTROPY && net->loss != SIGMOID_CROSSENTROPY;
}

/* The bytes of a row of data. */
static inline size_t row_size(const Network *net) {
    return net->n_raw * (net->row_kind == FLOAT_ROWS ? sizeof(float) : 1);
}

static inline long padded(long n, long to) { return (n + to - 1) / to * to; }
