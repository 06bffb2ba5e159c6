# Read by ggml's project() (CMAKE_PROJECT_ggml_INCLUDE) when what is built shall run on other machines: not for this processor, but
# for any x86-64-v3.
set(GGML_NATIVE OFF)
foreach(part SSE42 AVX AVX2 BMI2 FMA F16C)
    set(GGML_${part} ON)
endforeach()
