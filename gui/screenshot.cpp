#include "gui/screenshot.h"

#include "gui/compat.h"

namespace tplan::gui {

Picture software_screenshot(App& app, int width, int height, int frames) {
    auto* before = ImGui::GetCurrentContext();
    auto* context = ImGui::CreateContext();
    ImGui::SetCurrentContext(context);
    auto& io = ImGui::GetIO();
    io.DisplaySize = {static_cast<float>(width), static_cast<float>(height)};
    io.BackendFlags |= ImGuiBackendFlags_RendererHasVtxOffset;
    prepare_keys();
    prepare(app);
    inject_mouse(-1000, -1000);
    for (int i = 0; i < frames; ++i) {
        io.DeltaTime = 1.0f / 60;
        ImGui::NewFrame();
        frame(app);
        ImGui::Render();
    }
    auto picture = render(*ImGui::GetDrawData(), colour_of(app.view.theme, {Role::background}));
    ImGui::DestroyContext(context);
    ImGui::SetCurrentContext(before);
    return picture;
}

}  // namespace tplan::gui
