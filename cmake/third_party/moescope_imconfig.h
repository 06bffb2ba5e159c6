// One configuration of Dear ImGui for every translation unit that sees imgui.h: the library, ImPlot, the test engine
// and the workbench must agree on these, or structures differ in size.
#pragma once

#define IMGUI_ENABLE_TEST_ENGINE  // item hooks: GUI tests link the engine, the program implements the hooks itself
#define IMGUI_TEST_ENGINE_ENABLE_COROUTINE_STDTHREAD_IMPL 1
#define IMGUI_TEST_ENGINE_ENABLE_STD_FUNCTION 1
#define IMGUI_TEST_ENGINE_ENABLE_CAPTURE 0  // screenshots are taken by the workbench itself
#define IMGUI_ENABLE_FREETYPE
#define IMGUI_USE_WCHAR32       // rare Han characters lie above U+FFFF
#define ImDrawIdx unsigned int  // plots with more than 65,535 vertices
#define IMGUI_DISABLE_DEBUG_TOOLS_IN_RELEASE
