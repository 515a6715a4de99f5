export { rankCount, trainerBudget } from './budget.ts';
export { checkStart } from './init-from.ts';
export { learningRate } from './schedule.ts';
export { createTrainer, TrainingDiverged } from './trainer.ts';
export type { Beside, StepMetrics, Trainer, TrainerConfig } from './types.ts';
