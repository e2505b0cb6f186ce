#include "gui/software.h"

// Pineda, A parallel algorithm for polygon rasterization, 1988: edge functions on a fixed-point
// grid with the top-left rule, so that triangles that share an edge cover each pixel once.

#include <algorithm>
#include <array>
#include <cmath>

namespace tplan::gui {
namespace {

constexpr int kSub = 16;  // positions are snapped to sixteenths of a pixel

struct Texture {
    const unsigned char* alpha = nullptr;
    int width = 0, height = 0;
};

struct Target {
    Picture& picture;
    Texture texture;
    int left, top, right, bottom;  // clip, pixels
};

struct Vertex {
    std::int64_t x, y;  // sixteenths
    float u, v;
    std::array<float, 4> colour;  // 0 to 255
};

Vertex vertex_of(const ImDrawVert& in, const ImDrawData& data) {
    const auto snap = [](float value) {
        return static_cast<std::int64_t>(std::lround(value * kSub));
    };
    const auto channel = [&](int shift) { return static_cast<float>((in.col >> shift) & 0xFF); };
    return {snap(in.pos.x - data.DisplayPos.x),
            snap(in.pos.y - data.DisplayPos.y),
            in.uv.x,
            in.uv.y,
            {channel(IM_COL32_R_SHIFT), channel(IM_COL32_G_SHIFT), channel(IM_COL32_B_SHIFT),
             channel(IM_COL32_A_SHIFT)}};
}

/// Coverage of the atlas at a point, between its four nearest texels.
float coverage(const Texture& texture, float u, float v) {
    const float x = u * static_cast<float>(texture.width) - 0.5f;
    const float y = v * static_cast<float>(texture.height) - 0.5f;
    const int x0 = static_cast<int>(std::floor(x)), y0 = static_cast<int>(std::floor(y));
    const float fx = x - static_cast<float>(x0), fy = y - static_cast<float>(y0);
    const auto texel = [&](int i, int j) {
        i = std::clamp(i, 0, texture.width - 1);
        j = std::clamp(j, 0, texture.height - 1);
        return static_cast<float>(texture.alpha[j * texture.width + i]);
    };
    const float above = texel(x0, y0) * (1 - fx) + texel(x0 + 1, y0) * fx;
    const float below = texel(x0, y0 + 1) * (1 - fx) + texel(x0 + 1, y0 + 1) * fx;
    return (above * (1 - fy) + below * fy) / 255;
}

void blend(Picture& picture, int x, int y, const std::array<float, 3>& colour, float alpha) {
    auto* pixel =
        &picture.rgb[3 * (static_cast<std::size_t>(y) * static_cast<std::size_t>(picture.width) +
                          static_cast<std::size_t>(x))];
    for (std::size_t c = 0; c < 3; ++c) {
        const float mixed = colour[c] * alpha + static_cast<float>(pixel[c]) * (1 - alpha);
        pixel[c] = static_cast<std::uint8_t>(std::lround(std::clamp(mixed, 0.0f, 255.0f)));
    }
}

/// Twice the signed area of (a, b, p).
std::int64_t edge(const Vertex& a, const Vertex& b, std::int64_t x, std::int64_t y) {
    return (b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x);
}

/// A pixel exactly on an edge belongs to the triangle to the right of it or below it.
bool owns_edge(const Vertex& a, const Vertex& b) {
    return b.y < a.y || (b.y == a.y && b.x > a.x);
}

void triangle(Target& to, Vertex a, Vertex b, Vertex c) {
    const auto area = edge(a, b, c.x, c.y);
    if (area == 0) return;
    if (area < 0) std::swap(b, c);
    const auto twice = static_cast<float>(std::abs(area));
    const auto pixel = [](std::int64_t v) {
        return static_cast<int>(v >= 0 ? v / kSub : -((-v + kSub - 1) / kSub));
    };
    const int left = std::max(to.left, pixel(std::min({a.x, b.x, c.x})));
    const int right = std::min(to.right, pixel(std::max({a.x, b.x, c.x})) + 1);
    const int top = std::max(to.top, pixel(std::min({a.y, b.y, c.y})));
    const int bottom = std::min(to.bottom, pixel(std::max({a.y, b.y, c.y})) + 1);
    const bool flat = a.u == b.u && b.u == c.u && a.v == b.v && b.v == c.v;
    const float plain = flat ? coverage(to.texture, a.u, a.v) : 0;
    const bool own[3] = {owns_edge(b, c), owns_edge(c, a), owns_edge(a, b)};
    for (int y = top; y < bottom; ++y) {
        for (int x = left; x < right; ++x) {
            const std::int64_t px = std::int64_t{x} * kSub + kSub / 2,
                               py = std::int64_t{y} * kSub + kSub / 2;
            const auto wa = edge(b, c, px, py), wb = edge(c, a, px, py), wc = edge(a, b, px, py);
            if (wa < 0 || wb < 0 || wc < 0) continue;
            if ((wa == 0 && !own[0]) || (wb == 0 && !own[1]) || (wc == 0 && !own[2])) continue;
            const float fa = static_cast<float>(wa) / twice, fb = static_cast<float>(wb) / twice,
                        fc = static_cast<float>(wc) / twice;
            std::array<float, 4> colour{};
            for (std::size_t i = 0; i < 4; ++i)
                colour[i] = fa * a.colour[i] + fb * b.colour[i] + fc * c.colour[i];
            const float covered = flat ? plain
                                       : coverage(to.texture, fa * a.u + fb * b.u + fc * c.u,
                                                  fa * a.v + fb * b.v + fc * c.v);
            blend(to.picture, x, y, {colour[0], colour[1], colour[2]}, colour[3] / 255 * covered);
        }
    }
}

void draw_list(Picture& picture, const Texture& texture, const ImDrawList& list,
               const ImDrawData& data) {
    for (const auto& command : list.CmdBuffer) {
        if (command.UserCallback) continue;
        const auto clip = [&](float value, float origin, int most) {
            return std::clamp(static_cast<int>(std::lround(value - origin)), 0, most);
        };
        Target to{picture,
                  texture,
                  clip(command.ClipRect.x, data.DisplayPos.x, picture.width),
                  clip(command.ClipRect.y, data.DisplayPos.y, picture.height),
                  clip(command.ClipRect.z, data.DisplayPos.x, picture.width),
                  clip(command.ClipRect.w, data.DisplayPos.y, picture.height)};
        const auto vertex = [&](unsigned i) {
            const auto index = list.IdxBuffer[static_cast<int>(command.IdxOffset + i)];
            return vertex_of(list.VtxBuffer[static_cast<int>(command.VtxOffset) + index], data);
        };
        for (unsigned i = 0; i + 2 < command.ElemCount; i += 3)
            triangle(to, vertex(i), vertex(i + 1), vertex(i + 2));
    }
}

}  // namespace

Picture render(const ImDrawData& data, Rgb background) {
    Picture picture;
    picture.width = static_cast<int>(std::lround(data.DisplaySize.x));
    picture.height = static_cast<int>(std::lround(data.DisplaySize.y));
    const auto pixels =
        static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.height);
    picture.rgb.resize(3 * pixels);
    for (std::size_t i = 0; i < pixels; ++i) {
        picture.rgb[3 * i] = background.r;
        picture.rgb[3 * i + 1] = background.g;
        picture.rgb[3 * i + 2] = background.b;
    }
    unsigned char* alpha = nullptr;
    Texture texture;
    ImGui::GetIO().Fonts->GetTexDataAsAlpha8(&alpha, &texture.width, &texture.height);
    texture.alpha = alpha;
    for (int i = 0; i < data.CmdListsCount; ++i)
        draw_list(picture, texture, *data.CmdLists[i], data);
    return picture;
}

}  // namespace tplan::gui
