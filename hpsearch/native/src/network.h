/* A dense network in training; the module owns its data and the engines work on it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Columns of a panel. Activations are transposed, `[panel][unit][PANEL rows of the batch]`, so
   that products run along the batch without a remainder. */
#define PANEL 32
#define MAX_LAYERS 64

enum activation {
    LINEAR, RELU, RELU6, LEAKY_RELU, SIGMOID, TANH, ELU, SELU, SOFTPLUS, SILU, SOFTSIGN,
    EXPONENTIAL, HARD_SIGMOID, HARD_SILU, HARD_TANH, GELU, MISH, ACTIVATIONS
};
enum optimizer { SGD, MOMENTUM, NESTEROV, ADAM, RMSPROP, RMSPROP_MOMENTUM, ADAGRAD, OPTIMIZERS };
enum loss {
    SOFTMAX_CROSSENTROPY, SIGMOID_CROSSENTROPY, SQUARED_ERROR, ABSOLUTE_ERROR, HUBER, LOSSES
};
enum rows { FLOAT_ROWS, SCALED_BYTES, STANDARDISED_BYTES, ROW_KINDS };

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

/* Additions to a hidden layer's product and activation. A normalisation comes between them, or
   after the activation (BATCH_NORM_BEHIND). */
enum block { DENSE, BATCH_NORM, LAYER_NORM, RESIDUAL, BATCH_NORM_BEHIND, BLOCKS };

enum part { KERNEL, BIAS, GAMMA, BETA, PROJECTION, MOVING_MEAN, MOVING_VARIANCE, PARTS };

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
    int loss, row_kind, n_features, outputs;
    float huber;                 /* the error above which Huber's loss is linear */
    const float *shift, *scale;  /* per feature: byte * scale + shift, or (byte - shift) / scale */
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
} Engine;

extern const Engine engine_avx512, engine_avx2, engine_neon;

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

static inline long padded(long n, long to) { return (n + to - 1) / to * to; }
