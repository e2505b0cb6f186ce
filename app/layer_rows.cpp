#include "app/layer_rows.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/files.h"

namespace tplan {

namespace {

constexpr std::string_view kShapesFile = "data/layer_shapes.json";
constexpr std::int64_t kMostCount = std::int64_t{1} << 31;
constexpr DType kDType = DType::fp16;  // of all such files so far; they have no column for it

/// Sizes of one layer before the cut.
struct LayerShape {
    std::string name;
    std::int64_t hidden = 1, ffn = 1, heads = 1, kv_heads = 1;
    bool gated = true;
    std::string source;
    static void fields(auto& self, auto&& field) {
        field("name", self.name);
        field("hidden", self.hidden);
        field("ffn", self.ffn);
        field("heads", self.heads);
        field("kv_heads", self.kv_heads);
        field("gated", self.gated);
        field("source", self.source);
    }
};
struct LayerShapes {
    std::string schema = "tplan.layer_shapes/1";
    std::vector<LayerShape> layers;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("layers", self.layers);
    }
};

/// A layer on one rank, and how many tokens it works on.
struct Layer {
    LayerShape shape;
    std::int64_t tokens = 1;
    int tp = 1;
    double all_reduce_bytes = 0;

    std::int64_t head_dim() const { return shape.hidden / shape.heads; }
    std::int64_t q_columns() const { return shape.heads / tp * head_dim(); }
    std::int64_t kv_columns() const {  // heads are copied where the degree passes them
        return std::max<std::int64_t>(1, shape.kv_heads / tp) * head_dim();
    }
    std::int64_t ffn() const { return shape.ffn / tp; }
    std::int64_t up() const { return shape.gated ? 2 * ffn() : ffn(); }
};

using Parts = std::vector<LayerOp::Part>;

Parts product(const Layer& l, std::int64_t n, std::int64_t k) {
    return {{ProductSize{.dtype = kDType, .m = l.tokens, .n = n, .k = k}}};
}
Parts pass(const Layer& l, OpKind op, std::int64_t in, std::int64_t out, std::int64_t weights = 0) {
    return {{PassSize{
        .op = op, .dtype = kDType, .rows = l.tokens, .in = in, .out = out, .weights = weights}}};
}
Parts norm(const Layer& l) {
    return pass(l, OpKind::norm, l.shape.hidden, l.shape.hidden, l.shape.hidden);
}
Parts two_all_reduces(const Layer& l, CollectiveImpl implementation) {
    if (l.tp == 1) return {};
    return {{CollectiveSize{.op = OpKind::all_reduce,
                            .ranks = l.tp,
                            .bytes = l.all_reduce_bytes,
                            .implementation = implementation},
             2}};
}
Parts together(std::initializer_list<Parts> lists) {
    Parts all;
    for (const auto& list : lists) all.insert(all.end(), list.begin(), list.end());
    return all;
}

Parts embedding(const Layer& l) {
    return pass(l, OpKind::embedding, l.shape.hidden, l.shape.hidden);
}
Parts qkv(const Layer& l) {
    return product(l, l.q_columns() + 2 * l.kv_columns(), l.shape.hidden);
}
Parts rope(const Layer& l) {
    const auto columns = l.q_columns() + l.kv_columns();
    return pass(l, OpKind::rope, columns, columns);
}
Parts attention_out(const Layer& l) {
    return product(l, l.shape.hidden, l.q_columns());
}
Parts up(const Layer& l) {
    return product(l, l.up(), l.shape.hidden);
}
Parts activation(const Layer& l) {
    return pass(l, OpKind::activation, l.up(), l.ffn());
}
Parts down(const Layer& l) {
    return product(l, l.shape.hidden, l.ffn());
}
Parts add(const Layer& l) {
    return pass(l, OpKind::add, 2 * l.shape.hidden, l.shape.hidden);
}
Parts linears(const Layer& l) {
    return together({qkv(l), attention_out(l), up(l), down(l)});
}
Parts passes(const Layer& l) {
    return together({norm(l), rope(l), norm(l), activation(l), add(l), add(l)});
}
Parts nccl(const Layer& l) {
    return two_all_reduces(l, CollectiveImpl::nccl);
}
Parts vllm(const Layer& l) {
    return two_all_reduces(l, CollectiveImpl::vllm);
}
Parts layer_nccl(const Layer& l) {
    return together({linears(l), passes(l), nccl(l)});
}
Parts layer_vllm(const Layer& l) {
    return together({linears(l), passes(l), vllm(l)});
}

/// What stands behind a measured column.
struct LayerColumn {
    std::string_view op;
    Parts (*parts)(const Layer&);
};
constexpr std::array kLayerColumns = {
    LayerColumn{"emb", embedding},
    LayerColumn{"input_layernorm", norm},
    LayerColumn{"attn_pre_proj", qkv},
    LayerColumn{"attn_rope", rope},
    LayerColumn{"attn_post_proj", attention_out},
    LayerColumn{"post_attention_layernorm", norm},
    LayerColumn{"mlp_up_proj", up},
    LayerColumn{"mlp_act", activation},
    LayerColumn{"mlp_down_proj", down},
    LayerColumn{"add", add},
    LayerColumn{"linear", linears},
    LayerColumn{"pointwise", passes},
    LayerColumn{"nccl_kernel_2ar", nccl},
    LayerColumn{"vllm_graph_2ar", vllm},
    LayerColumn{"nccl_tests_2ar", nccl},
    LayerColumn{"layer_nccl_kernel", layer_nccl},
    LayerColumn{"layer_vllm_graph", layer_vllm},
};

std::vector<LayerShape> load_shapes() {
    const auto path = resource_path(kShapesFile);
    const auto document = load_json(path);
    require_schema(document, LayerShapes{}.schema, path);
    return from_json<LayerShapes>(document, path).layers;
}

std::size_t need_column(const CsvTable& table, std::string_view name) {
    const int at = table.column(name);
    if (at >= 0) return static_cast<std::size_t>(at);
    throw Error(table.file + ":1", fmt::format("a file of layers needs a column \"{}\"", name));
}

LayerShape shape_of_row(const CsvTable& table, std::size_t row) {
    const auto count = [&](std::string_view name) {
        return csv_count(table, row, need_column(table, name), 1, kMostCount);
    };
    LayerShape shape;
    shape.hidden = count("hidden");
    shape.ffn = count("intermediate");
    shape.heads = count("num_heads");
    shape.kv_heads = count("num_kv_heads");
    shape.gated = csv_count(table, row, need_column(table, "gated"), 0, 1) == 1;
    return shape;
}

LayerShape shape_of_model(const CsvTable& table, std::size_t row,
                          const std::vector<LayerShape>& known) {
    const auto column = need_column(table, "model");
    const auto name = table.cell(row, column);
    std::vector<std::string> names;
    for (const auto& shape : known) {
        if (shape.name == name) return shape;
        names.push_back(shape.name);
    }
    const auto near = did_you_mean(name, names);
    throw Error(table.where(row, column),
                fmt::format("the sizes of model \"{}\" are not known", shown(name)),
                near.empty()
                    ? "give them as columns hidden, intermediate, num_heads, num_kv_heads, "
                      "gated"
                    : near);
}

/// Throws unless `tp` cuts the layer evenly (KV heads may be copied).
void check_cut(const CsvTable& table, std::size_t row, const Layer& layer) {
    const auto& s = layer.shape;
    const bool even = s.heads % layer.tp == 0 && s.ffn % layer.tp == 0 && s.hidden % s.heads == 0;
    if (even) return;
    throw Error(
        table.where(row, need_column(table, "tp")),
        fmt::format("{} ranks do not divide {} heads and {} columns", layer.tp, s.heads, s.ffn));
}

}  // namespace

bool holds_layers(const CsvTable& table) {
    return table.column("mlp_up_proj_us") >= 0 && table.column("num_tokens") >= 0;
}

SchemaOf layer_shapes_schema() {
    return schema_of<LayerShapes>();
}

std::vector<LayerOp> read_layer_rows(const CsvTable& table) {
    std::vector<std::pair<std::size_t, const LayerColumn*>> measured;
    for (const auto& column : kLayerColumns) {
        const int at = table.column(fmt::format("{}_us", column.op));
        if (at >= 0) measured.emplace_back(static_cast<std::size_t>(at), &column);
    }
    std::sort(measured.begin(), measured.end());
    const bool has_sizes = table.column("hidden") >= 0;
    const auto known = has_sizes ? std::vector<LayerShape>{} : load_shapes();
    const auto tokens = need_column(table, "num_tokens"), tp = need_column(table, "tp");
    const int bytes = table.column("allreduce_bytes");
    std::vector<LayerOp> ops;
    for (std::size_t row = 0; row < table.rows(); ++row) {
        Layer layer;
        layer.shape = has_sizes ? shape_of_row(table, row) : shape_of_model(table, row, known);
        layer.tokens = csv_count(table, row, tokens, 1, kMostCount);
        layer.tp = static_cast<int>(csv_count(table, row, tp, 1, 4096));
        check_cut(table, row, layer);
        layer.all_reduce_bytes =
            bytes >= 0 ? csv_number(table, row, static_cast<std::size_t>(bytes))
                       : double(layer.tokens) * double(layer.shape.hidden) * bytes_of(kDType);
        for (const auto& [column, how] : measured) {
            if (table.cell(row, column).empty() || csv_number(table, row, column) == 0) continue;
            auto parts = how->parts(layer);
            if (parts.empty()) continue;
            ops.push_back({row, column, std::string(how->op), std::string(name_of(kDType)),
                           regime_of_rows(double(layer.tokens)), std::move(parts)});
        }
    }
    return ops;
}

}  // namespace tplan
