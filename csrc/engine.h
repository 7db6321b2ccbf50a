/* A training step, an epoch and an evaluation, in the vector instructions of vector.h. */

#include <string.h>
#include <math.h>

#define MIN_LONG(a, b) ((a) < (b) ? (a) : (b))

#include "network.h"
#include "philox.h"
#include "vector.h"
#include "elementary.h"
#include "activation.h"
#include "product.h"
#include "rows.h"

static float lanes_sum(const float *x, long n) { /* n a multiple of 16; the order is fixed */
    float s[16] = {0};
    for (long i = 0; i < n; i += 16) {
        for (int l = 0; l < 16; l++) s[l] += x[i + l];
    }
    for (int half = 8; half; half /= 2) {
        for (int l = 0; l < half; l++) s[l] += s[l + half];
    }
    return s[0];
}

static const float *input_panels(const Network *net, int l) {
    return l ? net->layer[l - 1].at : net->xt;
}

static void forward(Network *net, long rows, int training) {
    for (int l = 0; l < net->layers; l++) {
        Layer *layer = &net->layer[l];
        panels_product(layer->w, layer->ld, 1, layer->out, input_panels(net, l), layer->in, rows,
                       layer->b, layer->at);
        if (l == net->layers - 1) return;
        const long size = padded(rows, PANEL) / PANEL * layer->out * PANEL;
        for (long i = 0; i < size; i += LANES) {
            vf slope, a = activate(layer->activation, LOAD(layer->at + i), &slope);
            STORE(layer->at + i, a);
            if (training) STORE(layer->ft + i, slope);
        }
        if (training) {
            if (layer->dropout > 0) drop(net, layer, rows);
            rows_of_panels(layer->at, layer->out, rows, layer->ar, net->layer[l + 1].ld);
        }
    }
}

/* The gradient of the loss by the last layer's sums, and the batch's loss and metric. */
static void judge(Network *net, const void *y, const int32_t *order, long rows, Sums *sums,
                  float *delta) {
    switch (net->loss) {
    case SOFTMAX_CROSSENTROPY: softmax_loss(net, y, order, rows, sums, delta); break;
    case SIGMOID_CROSSENTROPY: sigmoid_loss(net, y, order, rows, sums, delta); break;
    default: squared_loss(net, y, order, rows, sums, delta); break;
    }
}

static double regularisation(const Network *net) {
    if (net->update.l2_twice == 0) return 0;
    double sum = 0;
    for (int l = 0; l < net->layers; l++) {
        const Layer *layer = &net->layer[l];
        for (long n = 0; n < layer->out; n++) {
            float s[16] = {0};
            for (long k = 0; k < layer->ld; k += 16) {
                for (int lane = 0; lane < 16; lane++) {
                    const float w = layer->w[n * layer->ld + k + lane];
                    s[lane] += w * w;
                }
            }
            sum += lanes_sum(s, 16);
        }
    }
    return sum * net->update.l2_twice / 2;
}

static void update_weights(Network *net, Layer *layer, const float *delta, const float *input,
                           long rows) {
    float gradient[TILE_ROWS * TILE_VECTORS * LANES] __attribute__((aligned(64)));
    Pending pending = {&net->update, gradient, layer->w, {layer->w_slot[0], layer->w_slot[1]},
                       layer->ld, 0, 0, 0};
    const long blocks = (rows + PANEL - 1) / PANEL, ld = layer->ld, columns = padded(layer->in, 16);
    for (long i = 0; i < layer->out;) {
        const int height = tile_rows(layer->out - i, UPDATE_ROWS);
        for (long j = 0; j < columns; j += TILE_COLUMNS) {
            const Product c = {delta + i * PANEL, PANEL, 1, input + j, ld, PANEL,
                               blocks, layer->out * PANEL, PANEL * ld, rows - (blocks - 1) * PANEL};
            update_rows(height, columns - j >= TILE_COLUMNS, &c, &pending, i * ld + j);
        }
        i += height;
    }
    update_rest(&pending);
}

static void update_biases(Network *net, Layer *layer, const float *delta, long rows) {
    Update update = net->update;
    update.l2_twice = 0;
    const long columns = padded(rows, 16);
    for (long first = 0; first < layer->out; first += 16) {
        float gradient[16] __attribute__((aligned(64))) = {0};
        for (long i = first; i < MIN_LONG(first + 16, layer->out); i++) {
            float total = 0;
            for (long column = 0; column < columns; column += PANEL) {
                const float *panel = delta + (column / PANEL * layer->out + i) * PANEL;
                total += lanes_sum(panel, MIN_LONG(columns - column, PANEL));
            }
            gradient[i - first] = total;
        }
        for (int lane = 0; lane < 16; lane += LANES) {
            const long at = first + lane;
            update_vector(&update, gradient + lane, layer->b + at, layer->b_slot[0] + at,
                          layer->b_slot[1] + at);
        }
    }
}

static void backward(Network *net, long rows) {
    float *delta = net->delta[0], *next = net->delta[1];
    for (int l = net->layers - 1; l >= 0; l--) {
        Layer *layer = &net->layer[l];
        if (l) { /* Before the update: it is the gradient by the weights that predicted. */
            Layer *below = &net->layer[l - 1];
            panels_product(layer->w, 1, layer->ld, layer->in, delta, layer->out, rows, NULL, next);
            const long size = padded(rows, PANEL) / PANEL * below->out * PANEL;
            for (long i = 0; i < size; i += LANES) {
                STORE(next + i, MUL(LOAD(next + i), LOAD(below->ft + i)));
            }
        }
        update_weights(net, layer, delta, l ? net->layer[l - 1].ar : net->xr, rows);
        update_biases(net, layer, delta, rows);
        float *swap = delta;
        delta = next, next = swap;
    }
}

/* Source: keras.src.optimizers.adam, whose powers are of the float32 of beta. */
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
    for (long first = 0; first < data->rows; first += net->batch) {
        const long rows = MIN_LONG(data->rows - first, net->batch);
        const int32_t *order = data->order + first;
        take_rows(net, data, order, rows);
        expect_rows(net, data, order + rows, MIN_LONG(data->rows - first - rows, net->batch));
        const double penalty = regularisation(net);
        forward(net, rows, 1);
        judge(net, data->y, order, rows, &sums, net->delta[0]);
        sums.loss += penalty * (double)rows;
        begin_update(net);
        backward(net, rows);
    }
    restore_denormals(mode);
    return sums;
}

static Sums evaluate(Network *net, const Data *data) {
    Sums sums = {0, 0};
    const unsigned mode = flush_denormals();
    int32_t order[PANEL * 4];
    for (long first = 0; first < data->rows; first += PANEL * 4) {
        const long rows = MIN_LONG(data->rows - first, PANEL * 4);
        for (long r = 0; r < rows; r++) order[r] = (int32_t)(first + r);
        take_rows(net, data, order, rows);
        forward(net, rows, 0);
        judge(net, data->y, order, rows, &sums, NULL);
    }
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
