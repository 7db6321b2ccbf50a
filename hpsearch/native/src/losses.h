/* Losses: add a batch to the sums, and compute the gradient by the last layer's outputs. */
#pragma once

#include <math.h>

#include "elementary.h"
#include "network.h"
#include "norms.h"
#include "rows.h"

/* One batch; `weight`, `loss` and `hit` hold one number a row. */
typedef struct {
    const int32_t *order;
    long rows;
    int keeps_outputs;       /* true: outputs replace the last layer's sums */
    float *weight, *loss, *hit;
} Batch;

static Batch batch_of(Network *net, const Data *data, const int32_t *order, long rows) {
    float *numbers = net->rows;
    const long size = net->capacity;
    for (long r = 0; r < padded(rows, 16); r++) {
        if (r >= rows) numbers[r] = 0.0f;
        else numbers[r] = data->weights ? data->weights[order[r]] : 1.0f;
    }
    return (Batch){order, rows, data->outputs != NULL, numbers, numbers + size, numbers + 2 * size};
}

/* Softmax and crossentropy of the logits, as in Keras (`_keras_logits`). */
static void softmax_loss(Network *net, const int32_t *y, const Batch *batch, float *delta) {
    const long units = net->outputs, rows = batch->rows;
    float *z = net->layer[net->layers - 1].at;
    float label[LANES];
    for (long r = 0; r < rows; r += LANES) {
        float *column = z + r / PANEL * units * PANEL + r % PANEL;
        for (long lane = 0; lane < LANES; lane++) {
            label[lane] = r + lane < rows ? (float)y[batch->order[r + lane]] : 0.0f;
        }
        const vf wanted = LOAD(label);
        vf top = LOAD(column);
        for (long u = 1; u < units; u++) top = MAX(top, LOAD(column + u * PANEL));
        vf total = SET(0.0f), own = SET(0.0f), best = SET(-1.0f), winner = SET(-1.0f);
        for (long u = 0; u < units; u++) {
            const vf shifted = SUB(LOAD(column + u * PANEL), top), e = exp_of(shifted);
            const vf index = SET((float)u), other = ABS(SUB(wanted, index));
            own = IF_GREATER(SET(0.5f), other, shifted, own);
            total = ADD(total, e);
            winner = IF_GREATER(e, best, index, winner);
            best = IF_GREATER(e, best, e, best);
            STORE(column + u * PANEL, e);
        }
        STORE(batch->loss + r, SUB(log_of(total), own));
        STORE(batch->hit + r,
              IF_GREATER(SET(0.5f), ABS(SUB(winner, wanted)), SET(1.0f), SET(0.0f)));
        if (!delta && !batch->keeps_outputs) continue;
        float *d = delta ? delta + (column - z) : NULL;
        const vf share = MUL(LOAD(batch->weight + r), SET(1.0f / (float)rows));
        for (long u = 0; u < units; u++) {
            const vf p = DIV(LOAD(column + u * PANEL), total);
            const vf other = ABS(SUB(wanted, SET((float)u)));
            const vf target = IF_GREATER(SET(0.5f), other, SET(1.0f), SET(0.0f));
            if (batch->keeps_outputs) STORE(column + u * PANEL, p);
            if (d) STORE(d + u * PANEL, MUL(SUB(p, target), share));
        }
    }
}

/* Return Huber's loss of an absolute error, in the target's units. */
INLINE vf huber_of(vf size, vf from) {
    const vf half = SET(0.5f), square = MUL(half, MUL(size, size));
    const vf line = MUL(from, SUB(size, MUL(half, from)));
    return IF_GREATER(size, from, line, square);
}

/* Losses that average a function of output and target over the outputs. For standardised targets
   the loss is in the target's units, but the gradient is not. */
INLINE void mean_loss(const int kind, Network *net, const Batch *batch, float *delta) {
    const long units = net->outputs, rows = batch->rows;
    float *z = net->layer[net->layers - 1].at;
    const vf zero = SET(0.0f), one = SET(1.0f), from = SET(net->huber), count = SET((float)units);
    const vf part = SET((kind == SQUARED_ERROR ? 2.0f : 1.0f) / (float)units / (float)rows);
    for (long r = 0; r < rows; r += LANES) {
        const long begin = r / PANEL * units * PANEL + r % PANEL;
        const vf share = MUL(LOAD(batch->weight + r), part);
        vf loss = zero, hit = zero;
        for (long i = begin; i < begin + units * PANEL; i += PANEL) {
            const vf x = LOAD(z + i), t = LOAD(net->yt + i);
            vf slope;
            if (kind == SIGMOID_CROSSENTROPY) {
                const vf rest = log1p_of(exp_of(SUB(zero, ABS(x))));
                loss = ADD(loss, ADD(SUB(MAX(zero, x), MUL(x, t)), rest));
                const vf p = sigmoid_of(x), said = IF_GREATER(p, SET(0.5f), one, zero);
                hit = ADD(hit, IF_GREATER(ABS(SUB(said, t)), zero, zero, one));
                if (batch->keeps_outputs) STORE(z + i, p);
                slope = SUB(p, t);
            } else {
                const vf error = SUB(x, t), size = ABS(error);
                const vf own = MUL(size, SET(net->unit[(i - begin) / PANEL]));
                /* error - error keeps zero and NaN. */
                const vf negative = IF_GREATER(zero, error, SET(-1.0f), SUB(error, error));
                const vf sign = IF_GREATER(error, zero, one, negative);
                hit = ADD(hit, own);
                if (kind == SQUARED_ERROR) slope = error, loss = FMA(own, own, loss);
                else if (kind == ABSOLUTE_ERROR) slope = sign, loss = ADD(loss, own);
                else {
                    slope = IF_GREATER(size, from, MUL(from, sign), error);
                    loss = ADD(loss, huber_of(own, from));
                }
            }
            if (delta) STORE(delta + i, MUL(slope, share));
        }
        STORE(batch->loss + r, DIV(loss, count)), STORE(batch->hit + r, DIV(hit, count));
    }
}

/* Compute the batch's loss and metric, and the gradient of the loss by the last layer's outputs. */
static void judge(Network *net, const Data *data, const int32_t *order, long rows, Sums *sums,
                  float *delta) {
    const Batch batch = batch_of(net, data, order, rows);
    if (net->loss != SOFTMAX_CROSSENTROPY) take_targets(net, data->y, order, rows);
    switch (net->loss) {
    case SOFTMAX_CROSSENTROPY: softmax_loss(net, data->y, &batch, delta); break;
    case SIGMOID_CROSSENTROPY: mean_loss(SIGMOID_CROSSENTROPY, net, &batch, delta); break;
    case SQUARED_ERROR: mean_loss(SQUARED_ERROR, net, &batch, delta); break;
    case ABSOLUTE_ERROR: mean_loss(ABSOLUTE_ERROR, net, &batch, delta); break;
    default: mean_loss(HUBER, net, &batch, delta); break;
    }
    for (long r = 0; r < rows; r++) {
        sums->loss += (double)batch.loss[r] * batch.weight[r], sums->metric += batch.hit[r];
    }
    if (delta) zero_filling_rows(delta, net->outputs, rows);
}
