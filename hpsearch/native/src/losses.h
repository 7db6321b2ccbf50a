/* Losses: add a batch to the sums, and compute the gradient by the last layer's sums. */
#pragma once

#include <math.h>

#include "elementary.h"
#include "network.h"
#include "norms.h"

/* Softmax and crossentropy of the logits, as in Keras (`_keras_logits`). */
static void softmax_loss(Network *net, const int32_t *y, const int32_t *order, long rows,
                         Sums *sums, float *delta) {
    const long units = net->outputs;
    float *z = net->layer[net->layers - 1].at, *loss = net->rows, *hit = net->rows + net->capacity;
    float label[LANES];
    for (long r = 0; r < rows; r += LANES) {
        float *column = z + r / PANEL * units * PANEL + r % PANEL;
        for (long lane = 0; lane < LANES; lane++) {
            label[lane] = r + lane < rows ? (float)y[order[r + lane]] : 0.0f;
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
        STORE(loss + r, SUB(log_of(total), own));
        STORE(hit + r, IF_GREATER(SET(0.5f), ABS(SUB(winner, wanted)), SET(1.0f), SET(0.0f)));
        if (!delta) continue;
        float *d = delta + r / PANEL * units * PANEL + r % PANEL;
        const vf share = SET(1.0f / (float)rows);
        for (long u = 0; u < units; u++) {
            const vf p = DIV(LOAD(column + u * PANEL), total);
            const vf other = ABS(SUB(wanted, SET((float)u)));
            const vf target = IF_GREATER(SET(0.5f), other, SET(1.0f), SET(0.0f));
            STORE(d + u * PANEL, MUL(SUB(p, target), share));
        }
    }
    for (long r = 0; r < rows; r++) sums->loss += loss[r], sums->metric += hit[r];
    if (delta) zero_filling_rows(delta, units, rows);
}

static void sigmoid_loss(Network *net, const float *y, const int32_t *order, long rows, Sums *sums,
                         float *delta) {
    float *z = net->layer[net->layers - 1].at, *loss = net->rows, *hit = net->rows + net->capacity;
    float label[LANES];
    for (long r = 0; r < rows; r += LANES) {
        float *column = z + r;
        for (long lane = 0; lane < LANES; lane++) {
            label[lane] = r + lane < rows ? y[order[r + lane]] : 0.0f;
        }
        const vf x = LOAD(column), t = LOAD(label), zero = SET(0.0f), one = SET(1.0f);
        const vf rest = log1p_of(exp_of(SUB(zero, ABS(x))));
        STORE(loss + r, ADD(SUB(MAX(zero, x), MUL(x, t)), rest));
        const vf p = sigmoid_of(x), said = IF_GREATER(p, SET(0.5f), one, zero);
        STORE(hit + r, IF_GREATER(SET(0.5f), ABS(SUB(said, t)), one, zero));
        if (delta) STORE(delta + r, MUL(SUB(p, t), SET(1.0f / (float)rows)));
    }
    for (long r = 0; r < rows; r++) sums->loss += loss[r], sums->metric += hit[r];
    if (delta) zero_filling_rows(delta, 1, rows);
}

/* Mean squared error of standardised targets; loss and absolute error in the target's units. */
static void squared_loss(Network *net, const float *y, const int32_t *order, long rows, Sums *sums,
                         float *delta) {
    const long units = net->outputs;
    const float *z = net->layer[net->layers - 1].at;
    const float share = 2.0f / (float)units / (float)rows;
    for (long r = 0; r < rows; r++) {
        const long at = r / PANEL * units * PANEL + r % PANEL;
        double square = 0, absolute = 0;
        for (long u = 0; u < units; u++) {
            const float error = z[at + u * PANEL] - y[(long)order[r] * units + u];
            const float own = error * net->unit[u];
            square += (double)own * own, absolute += fabs(own);
            if (delta) delta[at + u * PANEL] = error * share;
        }
        sums->loss += square / (double)units, sums->metric += absolute / (double)units;
    }
    if (delta) zero_filling_rows(delta, units, rows);
}
