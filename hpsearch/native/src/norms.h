/* Keras' batch and layer normalisation, the latter with an epsilon of 1e-3. */
#pragma once

#include <math.h>

#include "network.h"
#include "vector.h"

#define NORM_EPSILON 1e-3f

static float lanes_sum(const float *x, long n) { /* n: a multiple of 16; fixed order */
    float s[16] = {0};
    for (long i = 0; i < n; i += 16) {
        for (int l = 0; l < 16; l++) s[l] += x[i + l];
    }
    for (int half = 8; half; half /= 2) {
        for (int l = 0; l < half; l++) s[l] += s[l + half];
    }
    return s[0];
}

/* Sum one unit's numbers over the batch in panels, multiplied by those of `by` unless it is NULL.
   In `x`, the rows that pad the last 16 must be zero. */
static float unit_sum(const float *x, const float *by, long units, long unit, long rows) {
    float total = 0;
    for (long row = 0; row < rows; row += PANEL) {
        const long at = (row / PANEL * units + unit) * PANEL, columns = MIN_LONG(rows - row, PANEL);
        float product[PANEL];
        if (!by) {
            total += lanes_sum(x + at, padded(columns, 16));
            continue;
        }
        for (int i = 0; i < PANEL; i++) product[i] = x[at + i] * by[at + i];
        total += lanes_sum(product, padded(columns, 16));
    }
    return total;
}

static void zero_filling_rows(float *x, long units, long rows) {
    const long end = padded(rows, 16);
    for (long u = 0; rows < end && u < units; u++) {
        for (long r = rows; r < end; r++) x[(r / PANEL * units + u) * PANEL + r % PANEL] = 0;
    }
}

/* Compute one unit's moments over the batch; store deviations from the mean in `normal`. */
static void batch_moments(Layer *layer, long rows, long unit, float *mean, float *variance) {
    const long units = layer->out, size = padded(rows, PANEL) / PANEL;
    *mean = unit_sum(layer->at, NULL, units, unit, rows) / (float)rows;
    for (long panel = 0; panel < size; panel++) {
        const long at = (panel * units + unit) * PANEL;
        for (int i = 0; i < PANEL; i++) {
            const int inside = panel * PANEL + i < rows;
            layer->normal[at + i] = inside ? layer->at[at + i] - *mean : 0.0f;
        }
    }
    *variance = unit_sum(layer->normal, layer->normal, units, unit, rows) / (float)rows;
}

static void batch_norm(Layer *layer, long rows, int training) {
    const long units = layer->out;
    float *moving_mean = layer->part[MOVING_MEAN].value;
    float *moving_variance = layer->part[MOVING_VARIANCE].value;
    const float *gammas = layer->part[GAMMA].value, *betas = layer->part[BETA].value;
    const float keep = layer->keep, learn = layer->learn;
    if (training) zero_filling_rows(layer->at, units, rows);
    for (long u = 0; u < units; u++) {
        float mean = moving_mean[u], variance = moving_variance[u];
        if (training) {
            batch_moments(layer, rows, u, &mean, &variance);
            moving_mean[u] = moving_mean[u] * keep + mean * learn;
            moving_variance[u] = moving_variance[u] * keep + variance * learn;
        }
        const float inverse = 1.0f / sqrtf(variance + layer->epsilon);
        const float gamma = gammas ? gammas[u] : 1.0f, beta = betas ? betas[u] : 0.0f;
        layer->scale[u] = inverse;
        for (long panel = 0; panel < padded(rows, PANEL) / PANEL; panel++) {
            const long at = (panel * units + u) * PANEL;
            for (int i = 0; i < PANEL; i++) {
                const float deviation = training ? layer->normal[at + i] : layer->at[at + i] - mean;
                layer->normal[at + i] = deviation * inverse;
                layer->at[at + i] = fmaf(layer->normal[at + i], gamma, beta);
            }
        }
    }
}

static void layer_norm(Layer *layer, long rows) {
    const long units = layer->out;
    const float *gamma = layer->part[GAMMA].value, *beta = layer->part[BETA].value;
    const vf share = SET(1.0f / (float)units);
    for (long row = 0; row < padded(rows, 16); row += LANES) {
        const long at = row / PANEL * units * PANEL + row % PANEL;
        vf mean = SET(0.0f), variance = SET(0.0f);
        for (long u = 0; u < units; u++) mean = ADD(mean, LOAD(layer->at + at + u * PANEL));
        mean = MUL(mean, share);
        for (long u = 0; u < units; u++) {
            const vf deviation = SUB(LOAD(layer->at + at + u * PANEL), mean);
            variance = FMA(deviation, deviation, variance);
        }
        variance = ADD(MUL(variance, share), SET(NORM_EPSILON));
        const vf inverse = DIV(SET(1.0f), SQRT(variance));
        STORE(layer->scale + row, inverse);
        for (long u = 0; u < units; u++) {
            const vf normal = MUL(SUB(LOAD(layer->at + at + u * PANEL), mean), inverse);
            STORE(layer->normal + at + u * PANEL, normal);
            STORE(layer->at + at + u * PANEL, FMA(normal, SET(gamma ? gamma[u] : 1.0f),
                                                  SET(beta ? beta[u] : 0.0f)));
        }
    }
}

static void normalise(Layer *layer, long rows, int training) {
    if (is_batch_norm(layer)) batch_norm(layer, rows, training);
    else if (layer->block == LAYER_NORM) layer_norm(layer, rows);
}

/* Turn the gradient by the normalisation's outputs into that by its inputs, in place; store those
   by gamma and beta in `units`. Source: Ioffe and Szegedy 2015, section 3. */
static void denormalise(Network *net, Layer *layer, long rows, float *delta) {
    const long units = layer->out, panels = padded(rows, PANEL) / PANEL;
    const float *gamma = layer->part[GAMMA].value, *normal = layer->normal;
    zero_filling_rows(delta, units, rows);
    for (long u = 0; u < units; u++) {
        net->units[0][u] = unit_sum(delta, normal, units, u, rows);
        net->units[1][u] = unit_sum(delta, NULL, units, u, rows);
        if (layer->block == LAYER_NORM) continue;
        const float slope = net->units[0][u] / (float)rows, mean = net->units[1][u] / (float)rows;
        const float factor = (gamma ? gamma[u] : 1.0f) * layer->scale[u];
        for (long panel = 0; panel < panels; panel++) {
            float *d = delta + (panel * units + u) * PANEL;
            const float *x = normal + (panel * units + u) * PANEL;
            for (int i = 0; i < PANEL; i++) d[i] = factor * (d[i] - mean - x[i] * slope);
        }
    }
    if (is_batch_norm(layer)) {
        zero_filling_rows(delta, units, rows);
        return;
    }
    const vf share = SET(1.0f / (float)units);
    for (long row = 0; row < padded(rows, 16); row += LANES) {
        float *d = delta + row / PANEL * units * PANEL + row % PANEL;
        const float *x = normal + (d - delta);
        vf mean = SET(0.0f), slope = SET(0.0f);
        for (long u = 0; u < units; u++) {
            const vf g = MUL(LOAD(d + u * PANEL), SET(gamma ? gamma[u] : 1.0f));
            mean = ADD(mean, g), slope = FMA(g, LOAD(x + u * PANEL), slope);
        }
        mean = MUL(mean, share), slope = MUL(slope, share);
        for (long u = 0; u < units; u++) {
            const vf g = MUL(LOAD(d + u * PANEL), SET(gamma ? gamma[u] : 1.0f));
            const vf rest = SUB(SUB(g, mean), MUL(LOAD(x + u * PANEL), slope));
            STORE(d + u * PANEL, MUL(rest, LOAD(layer->scale + row)));
        }
    }
}
