/**
 * ONNX Runtime reports its use to Microsoft from Linux, with an id that it keeps in the home folder, unless this is set before it is
 * loaded. Imported first of all. Whoever wants to report sets the variable to 0.
 */
process.env.ORT_DISABLE_TELEMETRY ??= '1';
