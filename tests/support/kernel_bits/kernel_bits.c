/* Trains networks of every block, activation, optimizer, loss and kind of rows with the kernels of
   one instruction set, and prints every number that comes out, in hexadecimal: the same text on
   every processor.

   cc -O3 -std=gnu11 -ffp-contract=off -DKERNELS=kernels_avx2 -I . -I SOURCES \
      kernel_bits.c SOURCES/kernels_avx2.c -lm */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "memory.h"

#ifndef THREADS
#define THREADS 1
#endif
#define ROWS 150
#define FEATURES 37
#define EPOCHS 2
#define OUTPUTS 19 /* of the losses of numbers: more than a block of 16 */

static uint32_t state = 1;
static float uniform(void) { /* [-1, 1); Knuth's linear congruential generator */
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

static void print_bits(const char *name, const float *numbers, long count) {
    printf("%s", name);
    for (long i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, numbers + i, 4);
        printf(" %08x", (unsigned)bits);
    }
    printf("\n");
}

static int outputs_of(int loss) {
    return loss == SOFTMAX_CROSSENTROPY ? 10 : loss == SIGMOID_CROSSENTROPY ? 1 : OUTPUTS;
}

static void make(NetworkObject *self, int optimizer, int loss, int rows, int block, int activation) {
    Network *net = self->net;
    const int outputs = outputs_of(loss);
    const int widths[] = {FEATURES, 24, 33, outputs};
    net->threads = THREADS, net->layers = 3, net->batch = 64, net->capacity = 4 * PANEL;
    net->loss = loss, net->row_kind = rows, net->huber = 0.5f;
    net->update = (Update){optimizer, 0.01f, 0.001f, 0.0f, 0.9f, 0.9f, 0.1f, 0.9f, 0.999f, 0.1f,
                           0.001f, 0.0f, 1e-7f};
    for (int l = 0; l < 3; l++) {
        Layer *layer = &net->layer[l];
        const int last = l == 2;
        layer->in = widths[l], layer->out = widths[l + 1], layer->ld = row_length(widths[l]);
        layer->block = last ? DENSE : block;
        layer->activation = !last ? activation : loss > SQUARED_ERROR ? TANH : LINEAR;
        layer->l2_twice = 0.002f, layer->keep = 0.9f, layer->learn = 0.1f, layer->epsilon = 1e-3f;
        layer->parts = 1u << KERNEL;
        if (layer->block != BATCH_NORM) layer->parts |= 1u << BIAS;
        if (is_normed(layer)) layer->parts |= 1u << GAMMA | 1u << BETA;
        if (is_batch_norm(layer)) layer->parts |= 1u << MOVING_MEAN | 1u << MOVING_VARIANCE;
        if (layer->block == RESIDUAL) layer->parts |= 1u << PROJECTION;
        if (!has_its_parts(layer)) abort();
        layer->dropout = last ? 0.0f : 0.25f, layer->kept = 1 / (1 - layer->dropout);
        layer->mask_seed = 7 + l;
        make_layer(self, layer, optimizer == ADAGRAD ? 0.1f : 0.0f);
        for (int part = 0; part < PARTS; part++) {
            if (!has_part(layer, part)) continue;
            float *value = layer->part[part].value;
            const long many = is_matrix(part) ? layer->in : 1, ld = is_matrix(part) ? layer->ld : 1;
            for (long o = 0; o < layer->out; o++) {
                for (long i = 0; i < many; i++) {
                    const float first = part == GAMMA || part == MOVING_VARIANCE ? 1.0f : 0.0f;
                    value[o * ld + i] = first + 0.3f * uniform();
                }
            }
        }
    }
    net->binned = rows == FLOAT_ROWS && block % 2 ? FEATURES / BINS : 0;
    net->n_raw = FEATURES - (BINS - 1) * net->binned;
    net->n_features = FEATURES, net->ld_in = net->layer[0].ld, net->outputs = outputs;
    make_buffers(self);
    float *shift = floats(self, FEATURES), *scale = floats(self, FEATURES);
    float *unit = floats(self, OUTPUTS);
    for (int i = 0; i < FEATURES; i++) {
        shift[i] = rows == SCALED_BYTES ? uniform() : 128 + 20 * uniform();
        scale[i] = rows == SCALED_BYTES ? 1.0f / 255 : 70 + 10 * uniform();
        if (net->binned) scale[i] = 8.0f, shift[i] = 8.0f - i;
    }
    for (int i = 0; i < OUTPUTS; i++) unit[i] = 1.5f + uniform();
    net->shift = shift, net->scale = scale, net->unit = unit;
}

static void run(const Kernels *kernels, int optimizer, int loss, int rows, int block, int activation) {
    NetworkObject self = {.net = calloc(1, sizeof(Network)), .kernels = kernels};
    static float x[ROWS * FEATURES], y[ROWS * OUTPUTS], weights[ROWS], outputs[ROWS * OUTPUTS];
    static unsigned char bytes[ROWS * FEATURES];
    static int32_t labels[ROWS], order[ROWS];
    state = 1;
    make(&self, optimizer, loss, rows, block, activation);
    for (int i = 0; i < ROWS * FEATURES; i++) {
        x[i] = uniform(), bytes[i] = (unsigned char)(127.5f + 127 * uniform());
    }
    for (int i = 0; i < ROWS * OUTPUTS; i++) y[i] = loss == SIGMOID_CROSSENTROPY ? uniform() > 0 : uniform();
    for (int r = 0; r < ROWS; r++) {
        labels[r] = (int32_t)(5 + 4.99f * uniform());
        order[r] = (r * 77 + 13) % ROWS, weights[r] = 1 + uniform();
    }
    const void *targets = loss == SOFTMAX_CROSSENTROPY ? (const void *)labels : y;
    const Data data = {.x = rows == FLOAT_ROWS ? (const void *)x : bytes, .y = targets,
                       .order = order, .weights = optimizer % 2 ? weights : NULL,
                       .outputs = outputs, .rows = ROWS};
    printf("optimizer %d loss %d rows %d block %d activation %d\n", optimizer, loss, rows, block,
           activation);
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        const Sums trained = kernels->train(self.net, &data);
        const Sums validated = kernels->evaluate(self.net, &data);
        printf("sums %a %a %a %a\n", trained.loss, trained.metric, validated.loss, validated.metric);
        print_bits("outputs", outputs, ROWS * outputs_of(loss));
    }
    for (int l = 0; l < 3; l++) {
        const Layer *layer = &self.net->layer[l];
        for (int part = 0; part < PARTS; part++) {
            const Array *array = &layer->part[part];
            if (!has_part(layer, part)) continue;
            print_bits("value", array->value, part_size(layer, part));
            for (int s = 0; s < 2; s++) print_bits("slot", array->slot[s], part_size(layer, part));
        }
    }
    for (int b = 0; b < self.blocks; b++) free(self.block[b]);
    free(self.net);
}

int main(void) {
    const Kernels *kernels = &KERNELS;
    for (int block = 0; block < BLOCKS; block++) {
        for (int optimizer = 0; optimizer < OPTIMIZERS; optimizer++) {
            run(kernels, optimizer, (block + optimizer) % LOSSES, optimizer % ROW_KINDS, block, RELU);
        }
    }
    for (int kind = 0; kind < ACTIVATIONS; kind++) {
        static float z[801], a[801], slope[801];
        for (int i = 0; i < 801; i++) z[i] = (float)(i - 400) / 20 + uniform() / 100;
        kernels->activate(kind, z, a, slope, 801);
        printf("activation %d\n", kind);
        print_bits("value", a, 801), print_bits("slope", slope, 801);
        run(kernels, ADAM, kind % LOSSES, FLOAT_ROWS, DENSE, kind);
    }
    return 0;
}
