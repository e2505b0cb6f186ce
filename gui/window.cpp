#include "gui/window.h"

#include <GLFW/glfw3.h>
#include <backends/imgui_impl_glfw.h>
#include <backends/imgui_impl_opengl3.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "core/error.h"
#include "gui/compat.h"

namespace tplan::gui {
namespace {

constexpr int kSettle = 3;  // frames after an event: ImGui sizes things in the frame after

std::string& glfw_complaint() {
    static std::string text;
    return text;
}

/// GLFW, the window and the ImGui context, taken down in the reverse order.
class Screen {
  public:
    Screen(App& app, int width, int height, bool visible) : app_(app) {
        glfwSetErrorCallback([](int, const char* text) { glfw_complaint() = text; });
        if (!glfwInit()) refuse();
        glfwWindowHint(GLFW_CONTEXT_VERSION_MAJOR, 3);
        glfwWindowHint(GLFW_CONTEXT_VERSION_MINOR, 2);
        glfwWindowHint(GLFW_OPENGL_PROFILE, GLFW_OPENGL_CORE_PROFILE);
        glfwWindowHint(GLFW_OPENGL_FORWARD_COMPAT, GLFW_TRUE);
        glfwWindowHint(GLFW_VISIBLE, visible ? GLFW_TRUE : GLFW_FALSE);
        window = glfwCreateWindow(width, height, "tplan", nullptr, nullptr);
        if (!window) {
            glfwTerminate();
            refuse();
        }
        glfwSetWindowSizeLimits(window, 1024, 700, GLFW_DONT_CARE, GLFW_DONT_CARE);
        glfwMakeContextCurrent(window);
        glfwSwapInterval(1);
        glfwSetWindowUserPointer(window, this);
        glfwSetDropCallback(window, [](GLFWwindow* of, int count, const char** paths) {
            auto& screen = *static_cast<Screen*>(glfwGetWindowUserPointer(of));
            if (count > 0) screen.app_.actions.push_back({ActionKind::open, paths[0]});
        });
        ImGui::CreateContext();
        prepare(app_);
        ImGui_ImplGlfw_InitForOpenGL(window, true);
        ImGui_ImplOpenGL3_Init("#version 150");
    }
    Screen(const Screen&) = delete;
    Screen& operator=(const Screen&) = delete;
    ~Screen() {
        ImGui_ImplOpenGL3_Shutdown();
        ImGui_ImplGlfw_Shutdown();
        ImGui::DestroyContext();
        glfwDestroyWindow(window);
        glfwTerminate();
    }

    /// One frame into the back buffer. True when another should follow at once.
    bool draw() {
        float unused = 1;
        glfwGetWindowContentScale(window, &app_.view.monitor, &unused);
        if (needs_fonts(app_)) {
            ImGui_ImplOpenGL3_DestroyFontsTexture();
            prepare(app_);
            ImGui_ImplOpenGL3_CreateFontsTexture();
        }
        ImGui_ImplOpenGL3_NewFrame();
        ImGui_ImplGlfw_NewFrame();
        ImGui::NewFrame();
        const double before = glfwGetTime();
        const bool again = frame(app_);
        build_s = glfwGetTime() - before;
        ImGui::Render();
        int width = 0, height = 0;
        glfwGetFramebufferSize(window, &width, &height);
        glViewport(0, 0, width, height);
        const auto back = colour_of(app_.view.theme, {Role::background});
        glClearColor(back.r / 255.0f, back.g / 255.0f, back.b / 255.0f, 1);
        glClear(GL_COLOR_BUFFER_BIT);
        ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
        return again;
    }

    GLFWwindow* window = nullptr;
    double build_s = 0;  // the panels of the last frame took

  private:
    [[noreturn]] static void refuse() {
        throw Error("window", "no display: " + glfw_complaint(),
                    "`tplan gui --screenshot FILE.png` and `tplan report PLAN -o FILE.html` need "
                    "none; or use xvfb-run");
    }
    App& app_;
};

/// Draws what there is to draw until the window is closed or the clock of GLFW says `until`.
/// Returns the number of frames.
int run_loop(Screen& screen, App& app, double until) {
    int left = kSettle, frames = 0;
    while (!glfwWindowShouldClose(screen.window) && !app.quit && glfwGetTime() < until) {
        const bool running = app.work.run == RunState::running ||
                             app.work.run == RunState::stopping || app.work.pending;
        if (left > 0) {
            glfwPollEvents();
            --left;
        } else {
            // Wakes for input, or to look at a run; nothing is drawn when neither has news.
            const double before = glfwGetTime();
            constexpr double kLookAtFiles = 1;  // seconds
            const double wait =
                std::min(running ? 0.1 : kLookAtFiles, std::max(0.001, until - before));
            glfwWaitEventsTimeout(wait);
            if (running || glfwGetTime() - before < wait) left = running ? 1 : kSettle;
            if (look_at_file(app.work)) left = kSettle;
            if (left == 0) continue;
        }
        if (screen.draw()) left = std::max(left, kSettle);
        glfwSwapBuffers(screen.window);
        ++frames;
    }
    return frames;
}

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::ranges::nth_element(values, middle);
    return *middle;
}

/// Median time of a recomputation over actions that take turns.
double recompute_time(App& app, const Action& one, const Action& other, int times) {
    std::vector<double> seconds;
    for (int i = 0; i < times; ++i) {
        apply(app.work, i % 2 == 0 ? one : other);
        if (i >= 2) seconds.push_back(app.work.recompute_s);
    }
    return median(std::move(seconds));
}

}  // namespace

WindowSize run_window(App& app, int width, int height) {
    Screen screen(app, width, height, true);
    constexpr double kForEver = 1e18;
    run_loop(screen, app, kForEver);
    WindowSize size;
    glfwGetWindowSize(screen.window, &size.width, &size.height);
    return size;
}

WindowSpeed measure_window(App& app, int width, int height, int frames, double idle_s) {
    const auto start = std::chrono::steady_clock::now();
    Screen screen(app, width, height, true);
    glfwSwapInterval(0);
    WindowSpeed speed;
    std::vector<double> whole, build;
    for (int i = 0; i < frames; ++i) {
        glfwPollEvents();
        const double before = glfwGetTime();
        screen.draw();
        glfwSwapBuffers(screen.window);
        glFinish();
        whole.push_back(glfwGetTime() - before);
        build.push_back(screen.build_s);
        if (i == 0) {
            const std::chrono::duration<double> first = std::chrono::steady_clock::now() - start;
            speed.first_window_s = first.count();
        }
    }
    speed.frame_s = median(std::move(whole));
    speed.build_s = median(std::move(build));
    if (app.work.study) {
        const auto& working = app.work.study->working;
        speed.move_tp_s = recompute_time(app, {ActionKind::set_tp, {}, working.front()},
                                         {ActionKind::set_tp, {}, working.back()}, frames);
        speed.move_batch_s = recompute_time(app, {ActionKind::set_batch, {}, 2},
                                            {ActionKind::set_batch, {}, 3}, frames);
    }
    run_loop(screen, app, glfwGetTime() + 0.2);  // the last of the changes is drawn
    const auto cpu = std::clock();
    speed.idle_frames = run_loop(screen, app, glfwGetTime() + idle_s);
    speed.idle_cpu_s = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
    return speed;
}

Picture window_screenshot(App& app, int width, int height, int frames) {
    Screen screen(app, width, height, true);
    for (int i = 0; i < frames; ++i) {
        glfwPollEvents();
        screen.draw();
        if (i + 1 < frames) glfwSwapBuffers(screen.window);
    }
    Picture picture;
    glfwGetFramebufferSize(screen.window, &picture.width, &picture.height);
    const auto row = 3 * static_cast<std::size_t>(picture.width);
    const auto rows = static_cast<std::size_t>(picture.height);
    std::vector<std::uint8_t> pixels(row * rows);
    glPixelStorei(GL_PACK_ALIGNMENT, 1);
    glReadPixels(0, 0, picture.width, picture.height, GL_RGB, GL_UNSIGNED_BYTE, pixels.data());
    picture.rgb.resize(pixels.size());
    for (std::size_t y = 0; y < rows; ++y) {
        std::copy_n(pixels.begin() + static_cast<std::ptrdiff_t>((rows - 1 - y) * row), row,
                    picture.rgb.begin() + static_cast<std::ptrdiff_t>(y * row));
    }
    return picture;
}

}  // namespace tplan::gui
