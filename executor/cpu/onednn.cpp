#include "executor/cpu/onednn.h"

#include <cassert>

#ifdef TPLAN_ONEDNN_FOUND
#include <omp.h>

#include <dnnl.hpp>
#include <unordered_map>

#include "core/error.h"
#include "core/text.h"

namespace tplan::cpu {
namespace {

using Desc = dnnl::memory::desc;
using Type = dnnl::memory::data_type;
using Tag = dnnl::memory::format_tag;

Type type_of(DType dtype) {
    assert(dtype == DType::fp32 || dtype == DType::bf16);
    return dtype == DType::bf16 ? Type::bf16 : Type::f32;
}

const dnnl::engine& engine() {
    static const dnnl::engine kEngine(dnnl::engine::kind::cpu, 0);
    return kEngine;
}

Desc rows_of(const Matrix& m, Type type) {
    return {{m.rows, m.columns}, type, {m.stride, 1}};
}

dnnl::matmul::primitive_desc describe(const Desc& x, const Desc& weights, const Desc& y,
                                      const Desc& bias) {
    return {bias.is_zero() ? dnnl::matmul::desc(x, weights, y)
                           : dnnl::matmul::desc(x, weights, bias, y),
            engine()};
}

/// oneDNN's exceptions become ours: they say what failed but not where.
template <class F>
auto translated(const F& f) {
    try {
        return f();
    } catch (const dnnl::error& error) {
        throw Error("oneDNN", error.what(), "configure with -DTPLAN_ONEDNN=OFF to do without it");
    }
}

}  // namespace

struct OneDnnWeights {
    LinearShape shape;
    dnnl::memory packed;
};

struct OneDnnProduct {
    std::shared_ptr<OneDnnWeights> weights;
    dnnl::stream stream;
    dnnl::reorder to_bf16;  // of x; empty for fp32
    dnnl::memory x, rounded;
    dnnl::matmul matmul;
    std::unordered_map<int, dnnl::memory> arguments;
};

std::string onednn_version() {
    const auto* version = dnnl_version();
    return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

bool onednn_has_bf16() {
    return __builtin_cpu_supports("avx512bf16") != 0;
}

std::shared_ptr<OneDnnWeights> onednn_pack(const LinearShape& shape, const Matrix& plain) {
    return translated([&] {
        const auto type = type_of(shape.weights);
        const auto pd =
            describe({{shape.m, shape.k}, type, Tag::ab}, {{shape.k, shape.n}, type, Tag::any},
                     {{shape.m, shape.n}, Type::f32, Tag::ab}, {});
        auto weights = std::make_shared<OneDnnWeights>();
        weights->shape = shape;
        weights->packed = dnnl::memory(pd.weights_desc(), engine());
        const Desc stored({shape.k, shape.n}, Type::f32, {1, plain.stride});
        dnnl::memory source(stored, engine(), plain.data);
        dnnl::stream stream(engine());
        dnnl::reorder(source, weights->packed).execute(stream, source, weights->packed);
        stream.wait();
        return weights;
    });
}

double onednn_bytes(const OneDnnWeights& weights) {
    return static_cast<double>(weights.packed.get_desc().get_size());
}

std::shared_ptr<OneDnnProduct> onednn_bind(std::shared_ptr<OneDnnWeights> weights, const Matrix& x,
                                           const Matrix& y, const float* bias) {
    return translated([&] {
        auto product = std::make_shared<OneDnnProduct>();
        const auto& shape = weights->shape;
        product->stream = dnnl::stream(engine());
        product->x = dnnl::memory(rows_of(x, Type::f32), engine(), x.data);
        product->rounded = product->x;
        if (shape.weights == DType::bf16) {
            const Desc rounded({shape.m, shape.k}, Type::bf16, Tag::ab);
            product->rounded = dnnl::memory(rounded, engine());
            product->to_bf16 = dnnl::reorder(product->x, product->rounded);
        }
        const Desc bias_desc = bias == nullptr ? Desc() : Desc({1, shape.n}, Type::f32, Tag::ab);
        const auto y_desc = rows_of(y, Type::f32);
        const auto pd =
            describe(product->rounded.get_desc(), weights->packed.get_desc(), y_desc, bias_desc);
        product->matmul = dnnl::matmul(pd);
        product->arguments = {{DNNL_ARG_SRC, product->rounded},
                              {DNNL_ARG_WEIGHTS, weights->packed},
                              {DNNL_ARG_DST, dnnl::memory(y_desc, engine(), y.data)}};
        if (bias != nullptr) {
            // oneDNN takes a mutable pointer for every argument and only reads this one.
            product->arguments[DNNL_ARG_BIAS] =
                dnnl::memory(bias_desc, engine(), const_cast<float*>(bias));
        }
        product->weights = std::move(weights);
        return product;
    });
}

void onednn_run(const OneDnnProduct& product) {
    translated([&] {
        auto stream = product.stream;
        if (product.to_bf16) {
            auto x = product.x;
            auto rounded = product.rounded;
            product.to_bf16.execute(stream, x, rounded);
        }
        product.matmul.execute(stream, product.arguments);
        stream.wait();
    });
}

struct OneDnnPlain {
    dnnl::stream stream;
    dnnl::matmul matmul;
    std::unordered_map<int, dnnl::memory> arguments;
};

std::shared_ptr<OneDnnPlain> onednn_bind_plain(const ProductCall& call) {
    return translated([&] {
        const auto operand = [](std::int64_t rows, std::int64_t columns, std::int64_t stride,
                                bool transposed) {
            const dnnl::memory::dims plain{stride, 1}, turned{1, stride};
            return Desc({rows, columns}, Type::f32, transposed ? turned : plain);
        };
        const auto a = operand(call.m, call.k, call.a_stride, call.a_transposed);
        const auto b = operand(call.k, call.n, call.b_stride, call.b_transposed);
        const auto c = operand(call.m, call.n, call.c_stride, false);
        dnnl::primitive_attr attributes;
        if (call.accumulate) {
            dnnl::post_ops sum;
            sum.append_sum(1.0F);
            attributes.set_post_ops(sum);
        }
        auto product = std::make_shared<OneDnnPlain>();
        product->stream = dnnl::stream(engine());
        product->matmul =
            dnnl::matmul(dnnl::matmul::primitive_desc({a, b, c}, attributes, engine()));
        // oneDNN takes mutable pointers and only reads the operands.
        const auto memory = [&](const Desc& desc, const float* data) {
            return dnnl::memory(desc, engine(), const_cast<float*>(data));
        };
        product->arguments = {{DNNL_ARG_SRC, memory(a, call.a)},
                              {DNNL_ARG_WEIGHTS, memory(b, call.b)},
                              {DNNL_ARG_DST, memory(c, call.c)}};
        return product;
    });
}

void onednn_run_plain(const OneDnnPlain& product) {
    translated([&] {
        auto stream = product.stream;
        product.matmul.execute(stream, product.arguments);
        stream.wait();
    });
}

void onednn_use_one_thread() {
    omp_set_num_threads(1);
}

}  // namespace tplan::cpu

#else

namespace tplan::cpu {

struct OneDnnPlain {};
struct OneDnnWeights {};
struct OneDnnProduct {};

std::string onednn_version() {
    return {};
}
bool onednn_has_bf16() {
    return false;
}
std::shared_ptr<OneDnnWeights> onednn_pack(const LinearShape&, const Matrix&) {
    assert(false);
    return nullptr;
}
double onednn_bytes(const OneDnnWeights&) {
    return 0;
}
std::shared_ptr<OneDnnProduct> onednn_bind(std::shared_ptr<OneDnnWeights>, const Matrix&,
                                           const Matrix&, const float*) {
    assert(false);
    return nullptr;
}
void onednn_run(const OneDnnProduct&) {
    assert(false);
}
std::shared_ptr<OneDnnPlain> onednn_bind_plain(const ProductCall&) {
    assert(false);
    return nullptr;
}
void onednn_run_plain(const OneDnnPlain&) {
    assert(false);
}
void onednn_use_one_thread() {}

}  // namespace tplan::cpu

#endif
