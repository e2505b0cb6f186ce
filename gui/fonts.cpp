#include "gui/fonts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>

namespace tplan::gui {
namespace {

constexpr float kBody = 15;  // pixels at scale 1
/// Sizes that figures and panels use, in em.
constexpr std::array<float, 5> kSizes = {0.72f, 0.8f, 0.85f, 1.0f, 1.2f};

struct FontFiles {
    std::string_view regular, bold;
};
constexpr std::array kFiles = {
    FontFiles{"/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
              "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf"},
    FontFiles{"/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
              "/usr/share/fonts/truetype/noto/NotoSans-Bold.ttf"},
    FontFiles{"/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
              "/usr/share/fonts/truetype/liberation/LiberationSans-Bold.ttf"},
    FontFiles{"/usr/share/fonts/truetype/roboto/unhinted/RobotoTTF/Roboto-Regular.ttf",
              "/usr/share/fonts/truetype/roboto/unhinted/RobotoTTF/Roboto-Bold.ttf"}};

FontFiles choose_files() {
    std::error_code ignored;
    if (const char* own = std::getenv("TPLAN_FONT"); own && std::filesystem::exists(own, ignored))
        return {own, own};
    for (const auto& files : kFiles) {
        if (std::filesystem::exists(files.regular, ignored)) return files;
    }
    return {};
}

void add_face(Fonts& fonts, const std::string& file, float pixels, bool bold) {
    auto& atlas = *ImGui::GetIO().Fonts;
    ImFontConfig config;
    config.OversampleH = 2;
    config.OversampleV = 1;
    config.PixelSnapH = true;
    config.SizePixels = pixels;
    std::error_code ignored;
    ImFont* font = !file.empty() && std::filesystem::exists(file, ignored)
                       ? atlas.AddFontFromFileTTF(file.c_str(), pixels, &config)
                       : atlas.AddFontDefault(&config);
    fonts.faces.push_back({font, pixels, bold});
}

TextMetrics metrics_of(const Fonts& fonts) {
    const auto& body = face_for(fonts, fonts.em, false);
    const auto& strong = face_for(fonts, fonts.em, true);
    TextMetrics metrics;
    // Small sizes are relatively wider, as every advance is a whole pixel: the widest of all holds.
    for (int c = ' '; c <= '~'; ++c) {
        const char text[2] = {static_cast<char>(c), 0};
        double widest = 0;
        for (const auto& face : fonts.faces) {
            if (face.bold) continue;
            const float width = face.font->CalcTextSizeA(face.size, 1e9f, 0, text).x;
            widest = std::max(widest, static_cast<double>(width / face.size));
        }
        metrics.advance.push_back(widest);
    }
    constexpr const char* kSample = "The quick brown fox 0123456789";
    const auto width = [&](const Fonts::Face& face) {
        return face.font->CalcTextSizeA(face.size, 1e9f, 0, kSample).x / face.size;
    };
    metrics.bold = static_cast<double>(width(strong) / width(body)) * 1.02;
    return metrics;
}

}  // namespace

const Fonts::Face& face_for(const Fonts& fonts, float pixels, bool bold) {
    const Fonts::Face* best = &fonts.faces.front();
    float least = 1e9f;
    for (const auto& face : fonts.faces) {
        const float distance = std::abs(face.size - pixels) + (face.bold == bold ? 0 : 1000);
        if (distance < least) {
            least = distance;
            best = &face;
        }
    }
    return *best;
}

void push_face(const Fonts::Face& face) {
#if IMGUI_VERSION_NUM >= 19200
    ImGui::PushFont(face.font, face.size);
#else
    ImGui::PushFont(face.font);
#endif
}

Fonts load_fonts(float scale, bool built_in) {
    auto& atlas = *ImGui::GetIO().Fonts;
    atlas.Clear();
    Fonts fonts;
    fonts.em = std::round(kBody * scale);
    const auto files = built_in ? FontFiles{} : choose_files();
    fonts.file = files.regular;
    add_face(fonts, fonts.file, fonts.em, false);  // the first is ImGui's own default
    for (const float size : kSizes) {
        if (size != 1.0f) add_face(fonts, fonts.file, std::round(fonts.em * size), false);
    }
    for (const float size : {1.0f, 1.2f})
        add_face(fonts, std::string(files.bold), std::round(fonts.em * size), true);
    unsigned char* pixels = nullptr;
    int width = 0, height = 0;
    atlas.GetTexDataAsAlpha8(&pixels, &width, &height);  // builds, so that widths can be asked
    fonts.metrics = metrics_of(fonts);
    return fonts;
}

}  // namespace tplan::gui
