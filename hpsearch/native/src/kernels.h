/* Training steps, epochs and evaluations, in the vector instructions of vector.h. */

#pragma once

#include <math.h>
#include <string.h>

#include "network.h"
#include "vector.h"
#include "activation.h"
#include "product.h"
#include "rows.h"
#include "norms.h"
#include "losses.h"

static const float *input_panels(const Network *net, int l) {
    return l ? net->layer[l - 1].at : net->xt;
}

static long panels_size(const Layer *layer, long rows) {
    return padded(rows, PANEL) * layer->out;
}

static void add_panels(float *to, const float *from, long size) {
    for (long i = 0; i < size; i += LANES) STORE(to + i, ADD(LOAD(to + i), LOAD(from + i)));
}

static void multiply_panels(float *to, const float *from, const float *by, long size) {
    for (long i = 0; i < size; i += LANES) STORE(to + i, MUL(LOAD(from + i), LOAD(by + i)));
}

/* Add the block's input, or its projection to the block's width, to the block's output. */
static void add_input(Network *net, Team *team, Layer *layer, const float *input, long rows) {
    const float *projection = layer->part[PROJECTION].value;
    if (projection) {
        panels_product(team, (PanelsProduct){projection, layer->ld, 1, layer->out, input, layer->in,
                                             rows, NULL, net->delta[0]});
        input = net->delta[0];
    }
    add_panels(layer->at, input, panels_size(layer, rows));
}

static void forward(Network *net, Team *team, long rows, int training) {
    for (int l = 0; l < net->layers; l++) {
        Layer *layer = &net->layer[l];
        const float *input = input_panels(net, l);
        panels_product(team, (PanelsProduct){layer->part[KERNEL].value, layer->ld, 1, layer->out,
                                             input, layer->in, rows, layer->part[BIAS].value,
                                             layer->at});
        const int last = l == net->layers - 1, behind = layer->block == BATCH_NORM_BEHIND;
        if (last && layer->activation == LINEAR) return;
        if (!behind) normalise(layer, rows, training);
        for (long i = 0; i < panels_size(layer, rows); i += LANES) {
            vf slope, a = activate(layer->activation, LOAD(layer->at + i), &slope);
            STORE(layer->at + i, a);
            if (training) STORE(layer->ft + i, slope);
        }
        if (last) return;
        if (behind) normalise(layer, rows, training);
        if (training && layer->dropout > 0) {
            for (long i = 0; behind && i < panels_size(layer, rows); i++) layer->mask[i] = 1.0f;
            drop(net, layer, behind ? layer->mask : layer->ft, rows);
        }
        if (layer->block == RESIDUAL) add_input(net, team, layer, input, rows);
        if (training) rows_of_panels(layer->at, layer->out, rows, layer->ar, net->layer[l + 1].ld);
    }
}

static double squares(const float *w, long rows, long ld) {
    double sum = 0;
    for (long n = 0; w && n < rows; n++) {
        float s[16] = {0};
        for (long k = 0; k < ld; k += 16) {
            for (int lane = 0; lane < 16; lane++) s[lane] += w[n * ld + k + lane] * w[n * ld + k + lane];
        }
        sum += lanes_sum(s, 16);
    }
    return sum;
}

static double regularisation(const Network *net) {
    double sum = 0;
    for (int l = 0; l < net->layers; l++) {
        const Layer *layer = &net->layer[l];
        if (layer->l2_twice == 0) continue;
        const double own = squares(layer->part[KERNEL].value, layer->out, layer->ld);
        const double other = squares(layer->part[PROJECTION].value, layer->out, layer->ld);
        sum += (own + other) * layer->l2_twice / 2;
    }
    return sum;
}

/* The update of a matrix by the product of gradients in panels and inputs by row. */
typedef struct {
    const Layer *layer;
    const Array *matrix;
    Update update;
    const float *delta, *input;
    long rows;
} MatrixUpdate;

static void update_part(const void *work, long i, long end) {
    const MatrixUpdate *u = work;
    float gradient[TILE_ROWS * TILE_VECTORS * LANES] __attribute__((aligned(64)));
    const long ld = u->layer->ld, columns = padded(u->layer->in, 16);
    const long blocks = (u->rows + PANEL - 1) / PANEL;
    Pending pending = {&u->update, gradient, u->matrix->value,
                       {u->matrix->slot[0], u->matrix->slot[1]}, ld, 0, 0, 0};
    while (i < end) {
        const int height = tile_rows(end - i, UPDATE_ROWS);
        for (long j = 0; j < columns; j += TILE_COLUMNS) {
            const Product c = {u->delta + i * PANEL, PANEL, 1, u->input + j, ld, PANEL, blocks,
                               u->layer->out * PANEL, PANEL * ld, u->rows - (blocks - 1) * PANEL};
            update_rows(height, columns - j >= TILE_COLUMNS, &c, &pending, i * ld + j);
        }
        i += height;
    }
    update_rest(&pending);
}

static void update_matrix(Network *net, Team *team, const Layer *layer, const Array *matrix,
                          const float *delta, const float *input, long rows) {
    MatrixUpdate work = {layer, matrix, net->update, delta, input, rows};
    work.update.l2_twice = layer->l2_twice;
    share(team, update_part, &work, layer->out, UPDATE_ROWS, (double)layer->out * layer->in * rows);
}

/* Update an array with one number a unit; the gradients are padded to a multiple of 16. */
static void update_units(Network *net, Array *array, const float *gradient, long units) {
    if (!array->value) return;
    const Update update = net->update; /* its l2_twice is 0 */
    for (long i = 0; i < padded(units, 16); i += LANES) {
        update_vector(&update, gradient + i, array->value + i, array->slot[0] + i,
                      array->slot[1] + i);
    }
}

static void update_biases(Network *net, Layer *layer, const float *delta, long rows) {
    if (!layer->part[BIAS].value) return;
    for (long i = 0; i < layer->out; i++) {
        net->units[2][i] = unit_sum(delta, NULL, layer->out, i, rows);
    }
    update_units(net, &layer->part[BIAS], net->units[2], layer->out);
}

/* Compute the gradient by a layer's inputs from those by sums (`delta`) and outputs (`outer`). */
static void descend(Network *net, Team *team, Layer *layer, const float *delta, const float *outer,
                    long rows, float *below) {
    panels_product(team, (PanelsProduct){layer->part[KERNEL].value, 1, layer->ld, layer->in, delta,
                                         layer->out, rows, NULL, below});
    if (layer->block != RESIDUAL) return;
    const float *projection = layer->part[PROJECTION].value;
    const long size = padded(rows, PANEL) * layer->in;
    if (projection) {
        panels_product(team, (PanelsProduct){projection, 1, layer->ld, layer->in, outer, layer->out,
                                             rows, NULL, net->scratch});
        outer = net->scratch;
    }
    add_panels(below, outer, size);
}

/* Return the gradient by a layer's sums from that by its outputs; store those by gamma and beta. */
static float *descend_to_sums(Network *net, Layer *layer, long rows, float *outer) {
    const long size = panels_size(layer, rows);
    float *delta = net->delta[1];
    if (layer->block == BATCH_NORM_BEHIND) {
        if (layer->dropout > 0) multiply_panels(delta, outer, layer->mask, size);
        else memcpy(delta, outer, sizeof(float) * size);
        denormalise(net, layer, rows, delta);
        multiply_panels(delta, delta, layer->ft, size);
        return delta;
    }
    if (layer == &net->layer[net->layers - 1] && layer->activation == LINEAR) return outer;
    multiply_panels(delta, outer, layer->ft, size);
    if (layer->normal) denormalise(net, layer, rows, delta);
    return delta;
}

static void backward(Network *net, Team *team, long rows) {
    float *outer = net->delta[0], *below = net->delta[2];
    for (int l = net->layers - 1; l >= 0; l--) {
        Layer *layer = &net->layer[l];
        const float *input = l ? net->layer[l - 1].ar : net->xr;
        const float *delta = descend_to_sums(net, layer, rows, outer);
        /* Before the update: the gradient needs the weights of the forward pass. */
        if (l) descend(net, team, layer, delta, outer, rows, below);
        update_matrix(net, team, layer, &layer->part[KERNEL], delta, input, rows);
        update_biases(net, layer, delta, rows);
        if (layer->normal) {
            update_units(net, &layer->part[GAMMA], net->units[0], layer->out);
            update_units(net, &layer->part[BETA], net->units[1], layer->out);
        }
        if (layer->part[PROJECTION].value) {
            update_matrix(net, team, layer, &layer->part[PROJECTION], outer, input, rows);
        }
        float *swap = outer;
        outer = below, below = swap;
    }
}

/* Source: keras.src.optimizers.adam, which takes powers of beta in float32. */
static void begin_update(Network *net) {
    Update *u = &net->update;
    const double t = (double)++net->iterations;
    if (u->kind != ADAM) return;
    const float power_1 = (float)pow(u->beta_1, t), power_2 = (float)pow(u->beta_2, t);
    u->alpha = u->rate * sqrtf(1.0f - power_2) / (1.0f - power_1);
}

static Sums train(Network *net, const Data *data) {
    Sums sums = {0, 0};
    const unsigned mode = flush_denormals();
    Team team;
    begin_team(&team, net, MIN_LONG(net->batch, data->rows), data->rows);
    for (long first = 0; first < data->rows; first += net->batch) {
        const long rows = MIN_LONG(data->rows - first, net->batch);
        const int32_t *order = data->order + first;
        take_rows(net, data, order, rows);
        expect_rows(net, data, order + rows, MIN_LONG(data->rows - first - rows, net->batch));
        const double penalty = regularisation(net);
        forward(net, &team, rows, 1);
        judge(net, data, order, rows, &sums, net->delta[0]);
        if (data->outputs) give_outputs(net, rows, data->outputs + first * net->outputs);
        sums.loss += penalty * (double)rows;
        begin_update(net);
        backward(net, &team, rows);
    }
    end_team(&team);
    restore_denormals(mode);
    return sums;
}

static Sums evaluate(Network *net, const Data *data) {
    Sums sums = {0, 0};
    const unsigned mode = flush_denormals();
    int32_t order[PANEL * 4];
    Team team;
    begin_team(&team, net, MIN_LONG(PANEL * 4, data->rows), data->rows);
    for (long first = 0; first < data->rows; first += PANEL * 4) {
        const long rows = MIN_LONG(data->rows - first, PANEL * 4);
        for (long r = 0; r < rows; r++) order[r] = (int32_t)(first + r);
        take_rows(net, data, order, rows);
        forward(net, &team, rows, 0);
        judge(net, data, order, rows, &sums, NULL);
        if (data->outputs) give_outputs(net, rows, data->outputs + first * net->outputs);
    }
    end_team(&team);
    sums.loss += regularisation(net) * (double)data->rows;
    restore_denormals(mode);
    return sums;
}

static void activate_all(int kind, const float *z, float *a, float *slope, long n) {
    for (long i = 0; i < n; i += LANES) {
        float lanes[3][LANES] = {{0}};
        const size_t size = sizeof(float) * MIN_LONG(LANES, n - i);
        vf s;
        memcpy(lanes[0], z + i, size);
        STORE(lanes[1], activate(kind, LOAD(lanes[0]), &s));
        STORE(lanes[2], s);
        memcpy(a + i, lanes[1], size), memcpy(slope + i, lanes[2], size);
    }
}
