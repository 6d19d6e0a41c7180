// npm run setup: everything `npm start` needs, without starting.
import { main, setUp } from './steps.mjs';

main(setUp);
