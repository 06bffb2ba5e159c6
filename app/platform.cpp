#include "app/platform.hpp"

#define GL_GLEXT_PROTOTYPES
#include <GLFW/glfw3.h>
// after GLFW's OpenGL header
#include <GL/glext.h>
#include <algorithm>
#include <chrono>
#include <cstring>
#include <imgui_impl_glfw.h>
#include <imgui_impl_opengl3.h>
#include <implot.h>
#include <stdexcept>
#include <utility>

#include "app/window_place.hpp"

namespace moescope::app {
namespace {

constexpr int kLeastWidth = 800, kLeastHeight = 500;  ///< pixels

/// A texture of OpenGL.
struct Texture final : ui::Picture {
    Texture(int width, int height, const std::vector<ImU32>& pixels) {
        glGenTextures(1, &name);
        glBindTexture(GL_TEXTURE_2D, name);
        glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR);
        glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_LINEAR);
        glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
        glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
        glPixelStorei(GL_UNPACK_ROW_LENGTH, 0);
        glPixelStorei(GL_UNPACK_ALIGNMENT, 4);
        glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, width, height, 0, GL_RGBA, GL_UNSIGNED_BYTE, pixels.data());
        glBindTexture(GL_TEXTURE_2D, 0);
        id = static_cast<ImTextureID>(name);
    }
    ~Texture() override { glDeleteTextures(1, &name); }

    GLuint name = 0;
};

std::string glfw_reason() {
    const char* text = nullptr;
    glfwGetError(&text);
    return text != nullptr ? text : "no reason given";
}

}  // namespace

Platform::Platform(const PlatformOptions& options) : options_(options) {
    // X11 also on Wayland desktops: GLFW has no text input protocol for Wayland, so Chinese could not be typed there.
    glfwInitHint(GLFW_PLATFORM, options_.headless ? GLFW_PLATFORM_NULL : GLFW_PLATFORM_X11);
    if (!glfwInit()) {
        throw std::runtime_error("cannot open the display (" + glfw_reason() +
                                 "); set DISPLAY, or use --tour DIR, which needs none");
    }
    try {
        create_window();
    } catch (...) {
        glfwTerminate();
        throw;
    }
    ImGui::CreateContext();
    ImPlot::CreateContext();
    ImGuiIO& io = ImGui::GetIO();
    io.IniFilename = nullptr;  // layouts are kept in our settings
    io.ConfigFlags |= ImGuiConfigFlags_DockingEnable | ImGuiConfigFlags_NavEnableKeyboard;
    io.ConfigDockingAlwaysTabBar = true;
    io.ConfigInputTextCursorBlink = false;  // a blinking caret would need frames
    io.ConfigWindowsMoveFromTitleBarOnly = true;
    io.ConfigErrorRecoveryEnableAssert = false;
    io.ConfigDebugHighlightIdConflicts = false;  // a message for programmers; the GUI tests turn it on
    install_callbacks();
    ImGui_ImplGlfw_InitForOpenGL(window_, true);
    ImGui_ImplOpenGL3_Init("#version 330 core");
}

Platform::~Platform() {
    if (canvas_.framebuffer != 0) {
        glDeleteFramebuffers(1, &canvas_.framebuffer);
        glDeleteRenderbuffers(1, &canvas_.color);
    }
    ImGui_ImplOpenGL3_Shutdown();
    ImGui_ImplGlfw_Shutdown();
    ImPlot::DestroyContext();
    ImGui::DestroyContext();
    glfwDestroyWindow(window_);
    glfwTerminate();
}

void Platform::create_window() {
    glfwWindowHint(GLFW_CONTEXT_VERSION_MAJOR, 3);
    glfwWindowHint(GLFW_CONTEXT_VERSION_MINOR, 3);
    glfwWindowHint(GLFW_OPENGL_PROFILE, GLFW_OPENGL_CORE_PROFILE);
    if (options_.headless) {
        glfwWindowHint(GLFW_CONTEXT_CREATION_API, GLFW_EGL_CONTEXT_API);
    }
    // A window that was larger on another screen is made to fit before anybody sees it.
    const bool fit = options_.fit && !options_.headless;
    glfwWindowHint(GLFW_VISIBLE, fit ? GLFW_FALSE : GLFW_TRUE);
    glfwWindowHintString(GLFW_X11_CLASS_NAME, "moescope");
    glfwWindowHintString(GLFW_X11_INSTANCE_NAME, "moescope");
    window_ = glfwCreateWindow(options_.width, options_.height, options_.title.c_str(), nullptr, nullptr);
    if (window_ == nullptr) {
        throw std::runtime_error("cannot create a window with OpenGL 3.3 (" + glfw_reason() +
                                 "); install the driver of your graphics card or the package libgl1-mesa-dri");
    }
    if (!options_.headless) {
        glfwSetWindowSizeLimits(window_, kLeastWidth, kLeastHeight, GLFW_DONT_CARE, GLFW_DONT_CARE);
    }
    if (fit) {
        fit_to_screen();
        glfwShowWindow(window_);
    }
    glfwMakeContextCurrent(window_);
    glfwSwapInterval(options_.headless ? 0 : 1);
}

void Platform::fit_to_screen() {
    Area work, edges;
    if (GLFWmonitor* monitor = glfwGetPrimaryMonitor()) {
        glfwGetMonitorWorkarea(monitor, &work.x, &work.y, &work.width, &work.height);
    }
    glfwGetWindowFrameSize(window_, &edges.x, &edges.y, &edges.width, &edges.height);
    const Area place = fitted(work, edges, options_.width, options_.height);
    if (work.width <= 0 || work.height <= 0) {
        return;  // a screen that does not tell its size
    }
    glfwSetWindowSizeLimits(window_, std::min(kLeastWidth, place.width), std::min(kLeastHeight, place.height),
                            GLFW_DONT_CARE, GLFW_DONT_CARE);
    glfwSetWindowSize(window_, place.width, place.height);
    glfwSetWindowPos(window_, place.x, place.y);
}

Platform& Platform::of(GLFWwindow* window) {
    return *static_cast<Platform*>(glfwGetWindowUserPointer(window));
}

void Platform::install_callbacks() {
    // ImGui's back end calls these first and then does its own work.
    glfwSetWindowUserPointer(window_, this);
    glfwSetKeyCallback(window_, [](GLFWwindow* w, int, int, int, int) { of(w).input_ = true; });
    glfwSetCharCallback(window_, [](GLFWwindow* w, unsigned) { of(w).input_ = true; });
    glfwSetMouseButtonCallback(window_, [](GLFWwindow* w, int, int, int) { of(w).input_ = true; });
    glfwSetCursorPosCallback(window_, [](GLFWwindow* w, double, double) { of(w).input_ = true; });
    glfwSetScrollCallback(window_, [](GLFWwindow* w, double, double) { of(w).input_ = true; });
    glfwSetCursorEnterCallback(window_, [](GLFWwindow* w, int) { of(w).input_ = true; });
    glfwSetWindowFocusCallback(window_, [](GLFWwindow* w, int) { of(w).input_ = true; });
    glfwSetWindowCloseCallback(window_, [](GLFWwindow* w) { of(w).input_ = true; });
    glfwSetWindowRefreshCallback(window_, [](GLFWwindow* w) { of(w).input_ = true; });
    glfwSetFramebufferSizeCallback(window_, [](GLFWwindow* w, int, int) { of(w).input_ = true; });
    glfwSetDropCallback(window_,
                        [](GLFWwindow* w, int count, const char** paths) { of(w).receive_drop(count, paths); });
}

void Platform::receive_drop(int count, const char** paths) {
    input_ = true;
    dropped_.insert(dropped_.end(), paths, paths + count);
}

void Platform::begin_frame() {
    ImGui_ImplOpenGL3_NewFrame();
    ImGui_ImplGlfw_NewFrame();
}

void Platform::end_frame() {
    ImGui::Render();
}

void Platform::draw(ImDrawData& data, int width, int height) {
    glViewport(0, 0, width, height);
    const ImVec4 color = ImGui::GetStyleColorVec4(ImGuiCol_DockingEmptyBg);
    glClearColor(color.x, color.y, color.z, 1);
    glClear(GL_COLOR_BUFFER_BIT);
    ImGui_ImplOpenGL3_RenderDrawData(&data);
}

void Platform::present() {
    int width = 0, height = 0;
    glfwGetFramebufferSize(window_, &width, &height);
    if (options_.headless) {
        prepare_canvas(width, height);
    }
    draw(*ImGui::GetDrawData(), width, height);
    if (options_.headless) {
        glFinish();  // nothing is swapped: the pixels stay in the canvas
    } else {
        glfwSwapBuffers(window_);
    }
}

void Platform::prepare_canvas(int width, int height) {
    if (canvas_.framebuffer == 0) {
        glGenFramebuffers(1, &canvas_.framebuffer);
        glGenRenderbuffers(1, &canvas_.color);
    }
    glBindFramebuffer(GL_FRAMEBUFFER, canvas_.framebuffer);
    if (canvas_.width == width && canvas_.height == height) {
        return;
    }
    canvas_.width = width;
    canvas_.height = height;
    glBindRenderbuffer(GL_RENDERBUFFER, canvas_.color);
    glRenderbufferStorage(GL_RENDERBUFFER, GL_RGBA8, width, height);
    glFramebufferRenderbuffer(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_RENDERBUFFER, canvas_.color);
}

Image Platform::read_pixels(const std::function<bool(const ImDrawList&)>& keep) {
    Image image;
    glfwGetFramebufferSize(window_, &image.width, &image.height);
    ImDrawData data = *ImGui::GetDrawData();
    if (keep) {
        data.CmdLists.clear();
        for (ImDrawList* list : ImGui::GetDrawData()->CmdLists) {
            if (keep(*list)) {
                data.CmdLists.push_back(list);
            }
        }
        data.CmdListsCount = data.CmdLists.Size;
    }
    prepare_canvas(image.width, image.height);
    draw(data, image.width, image.height);
    const std::size_t row = static_cast<std::size_t>(image.width) * 4;
    image.rgba.resize(row * static_cast<std::size_t>(image.height));
    glPixelStorei(GL_PACK_ALIGNMENT, 1);
    glReadPixels(0, 0, image.width, image.height, GL_RGBA, GL_UNSIGNED_BYTE, image.rgba.data());
    if (!options_.headless) {
        glBindFramebuffer(GL_FRAMEBUFFER, 0);
    }
    for (int y = 0; y < image.height / 2; ++y) {  // OpenGL's first row is the lowest
        std::swap_ranges(image.rgba.begin() + static_cast<std::ptrdiff_t>(row) * y,
                         image.rgba.begin() + static_cast<std::ptrdiff_t>(row) * (y + 1),
                         image.rgba.begin() + static_cast<std::ptrdiff_t>(row) * (image.height - 1 - y));
    }
    return image;
}

std::shared_ptr<const ui::Picture> Platform::make_picture(int width, int height, const std::vector<ImU32>& pixels) {
    if (width <= 0 || height <= 0 ||
        pixels.size() != static_cast<std::size_t>(width) * static_cast<std::size_t>(height)) {
        return nullptr;
    }
    return std::make_shared<const Texture>(width, height, pixels);
}

void Platform::wait(double timeout_seconds) {
    if (!options_.headless) {
        if (timeout_seconds < 0) {
            glfwWaitEvents();
        } else if (timeout_seconds > 0) {
            glfwWaitEventsTimeout(timeout_seconds);
        } else {
            glfwPollEvents();
        }
        return;
    }
    glfwPollEvents();  // GLFW's null platform cannot wait
    std::unique_lock lock(mutex_);
    const auto woken = [this] { return woken_; };
    if (timeout_seconds < 0) {
        condition_.wait(lock, woken);
    } else {
        condition_.wait_for(lock, std::chrono::duration<double>(timeout_seconds), woken);
    }
    woken_ = false;
}

void Platform::wake() {
    if (!options_.headless) {
        glfwPostEmptyEvent();
        return;
    }
    const std::lock_guard lock(mutex_);
    woken_ = true;
    condition_.notify_one();
}

bool Platform::take_input() {
    return std::exchange(input_, false);
}

std::vector<std::string> Platform::take_dropped() {
    return std::exchange(dropped_, {});
}

bool Platform::should_close() const {
    return glfwWindowShouldClose(window_) != 0;
}

void Platform::set_should_close(bool close) {
    glfwSetWindowShouldClose(window_, close ? 1 : 0);
}

void Platform::set_size(int width, int height) {
    glfwSetWindowSize(window_, width, height);
    input_ = true;
}

void Platform::size(int& width, int& height) const {
    glfwGetWindowSize(window_, &width, &height);
}

float Platform::content_scale() const {
    float x = 1, y = 1;
    if (!options_.headless) {
        glfwGetWindowContentScale(window_, &x, &y);
    }
    return std::clamp(x, 0.5f, 4.0f);
}

}  // namespace moescope::app
